// Rows estimated from sketches of the keys: kept up as keys arrive, read for a choice.
#pragma once
#include <algorithm>
#include <numeric>
#include <span>
#include <vector>

#include "engine/backend/host_core.h"
#include "kernels/sketch.h"

namespace reattend {

template <class Ops>
class HostSketches {
 public:
  using Core = HostCore<Ops>;
  using Real = typename Ops::Real;
  using Seq = HostSequence<Real>;

  explicit HostSketches(Core& core) : c_(core) {}

  /// The sketches of these KV heads hold positions 0 .. n - 1; made anew where they were of another shape.
  void extend(Seq& seq, int32_t layer, std::span<const int32_t> kv_heads, const Sketch& shape, int32_t n) {
    const SketchLayout layout = layout_of(seq, shape);
    // Room is made here: the backend's memory takes one thread at a time.
    for (const int32_t g : kv_heads) {
      KeySketch& mine = of(seq, layer, g);
      if (!(mine.shape == shape) || mine.n > n) mine.blocks.clear(), mine.n = 0;
      mine.shape = shape;
      if (mine.blocks.empty()) mine.blocks.reserve(static_cast<size_t>(layout.bytes(seq.cache->shape().n_ctx)));
      mine.blocks.resize(static_cast<size_t>(layout.bytes(n)));
    }
    c_.pool.run(static_cast<int64_t>(kv_heads.size()), [&](int64_t i, int) {
      KeySketch& mine = of(seq, layer, kv_heads[i]);
      Ops::extend_sketch(seq.cache->blocks(layer, kv_heads[i]), layout, mine.n, n, mine.blocks.data());
      mine.n = n;
    });
  }

  /// Rows of the newest query over everything, estimated, into core.set_rows.
  void estimate(Seq& seq, int32_t layer, std::span<const int32_t> kv_heads, const Sketch& shape) {
    const int32_t n = seq.cache->size(), group = c_.shape.group();
    extend(seq, layer, kv_heads, shape, n - 1);
    const SketchLayout layout = layout_of(seq, shape);
    c_.set_rows.layer = -1;
    c_.set_rows.start(layer, n, c_.shape.n_head);
    for (const int32_t g : kv_heads) c_.set_rows.begin(g, group, Core::Rows::State::raw);
    const auto query = [&](int32_t g) { return c_.query(seq, layer) + int64_t{g} * group * c_.shape.d_head; };
    const int32_t n_block = layout.n_block(n - 1);
    channels_.resize(kv_heads.size() * static_cast<size_t>(shape.channels));
    const auto channels = [&](int64_t i) {
      return std::span(channels_).subspan(static_cast<size_t>(i) * shape.channels, static_cast<size_t>(shape.channels));
    };
    c_.pool.run(static_cast<int64_t>(kv_heads.size()), [&](int64_t i, int) {
      const KeySketch& mine = of(seq, layer, kv_heads[i]);
      Ops::sketch_channels(query(kv_heads[i]), group, layout, mine.blocks.data(), n_block, channels(i).data());
    });
    // Long stretches, for the first blocks of each are waited for, and some for each thread, for an even end.
    const auto n_wanted = static_cast<int32_t>(
        2 * c_.pool.n_at_once() / std::gcd<int64_t>(2 * c_.pool.n_at_once(), static_cast<int64_t>(kv_heads.size())));
    const int32_t step = (n_block + n_wanted - 1) / n_wanted;
    const int64_t n_stretch = (n_block + step - 1) / step;
    c_.pool.run(static_cast<int64_t>(kv_heads.size()) * n_stretch, [&](int64_t task, int) {
      const int64_t i = task / n_stretch;
      const auto begin = static_cast<int32_t>(task % n_stretch * step);
      const int32_t g = kv_heads[i];
      estimate_scores<Ops>(query(g), group, seq.cache->blocks(layer, g), layout, of(seq, layer, g).blocks.data(),
                           channels(i), begin, std::min(begin + step, n_block), n, c_.scale, c_.set_rows.row(g * group),
                           c_.set_rows.stride);
    });
    c_.bytes.select += static_cast<int64_t>(kv_heads.size()) * layout.bytes_read(n - 1);
    c_.finish(c_.set_rows, kv_heads, [n](int32_t) { return n; });
  }

 private:
  SketchLayout layout_of(const Seq& seq, const Sketch& shape) const {
    return SketchLayout::of(shape, c_.kv, c_.shape.d_head, seq.cache->shape().n_ctx);
  }
  KeySketch& of(Seq& seq, int32_t layer, int32_t kv_head) const {
    return seq.sketches[layer * c_.shape.n_kv_head + kv_head];
  }

  Core& c_;
  std::vector<int32_t> channels_;  ///< [n choosing][channels] of the layer under way
};

}  // namespace reattend
