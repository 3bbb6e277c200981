// Rows estimated from sketches of the keys: kept up as keys arrive, read for a choice.
#pragma once
#include <span>
#include <vector>

#include "engine/backend/host_core.h"
#include "kernels/sketch.h"

namespace reattend {

/// A KV head's row is estimated, weighed and reduced by one thread, in memory of its own: shared out in stretches, two
/// threads took as long as one, for each fetched the other's lines.
template <class Ops>
class HostSketches {
 public:
  using Core = HostCore<Ops>;
  using Real = typename Ops::Real;
  using Seq = HostSequence<Real>;

  explicit HostSketches(Core& core) : c_(core) {}

  /// The sketches of all KV heads hold positions 0 .. n - 1; made anew where they were of another shape.
  void extend(Seq& seq, int32_t layer, const Sketch& shape, int32_t n) {
    open(seq, layer, c_.all_kv_heads(), shape);
    c_.pool.run(c_.shape.n_kv_head, [&](int64_t g, int) { extend_one(seq, layer, static_cast<int32_t>(g), n); });
  }

  /// Makes room for choices of these KV heads, which then ask for scores(): the backend's memory takes one thread at a
  /// time.
  void prepare(Seq& seq, int32_t layer, std::span<const int32_t> kv_heads, const Sketch& shape) {
    open(seq, layer, kv_heads, shape);
    spaces_.resize(static_cast<size_t>(c_.pool.n_thread()));
    c_.bytes.select += static_cast<int64_t>(kv_heads.size()) * layout_.bytes_read(seq.cache->size() - 1);
  }

  /// Scores of the newest query's row over everything, estimated: out [positions in the cache].
  void scores(Seq& seq, int32_t layer, int32_t kv_head, int thread, Reduce how, Real* out) {
    const int32_t n = seq.cache->size(), group = c_.shape.group();
    extend_one(seq, layer, kv_head, n - 1);
    const Real* const q = c_.query(seq, layer) + int64_t{kv_head} * group * c_.shape.d_head;
    estimate_scores<Ops>(q, group, seq.cache->blocks(layer, kv_head), layout_, blocks_[kv_head], n, c_.scale, how,
                         spaces_[static_cast<size_t>(thread)], out);
  }

 private:
  void open(Seq& seq, int32_t layer, std::span<const int32_t> kv_heads, const Sketch& shape) {
    const int32_t n_ctx = seq.cache->shape().n_ctx;
    layout_ = SketchLayout::of(shape, c_.kv, c_.shape.d_head, n_ctx);
    blocks_.resize(static_cast<size_t>(c_.shape.n_kv_head));
    for (const int32_t g : kv_heads) blocks_[g] = seq.sketches->open(column(layer, g), layout_, n_ctx);
  }
  int32_t column(int32_t layer, int32_t kv_head) const { return layer * c_.shape.n_kv_head + kv_head; }

  void extend_one(Seq& seq, int32_t layer, int32_t g, int32_t n) {
    Ops::extend_sketch(seq.cache->blocks(layer, g), layout_, seq.sketches->size(column(layer, g)), n, blocks_[g]);
    seq.sketches->set_size(column(layer, g), n, layout_.bytes(n));
  }

  Core& c_;
  SketchLayout layout_;                    ///< of the layer under way
  std::vector<std::byte*> blocks_;         ///< [n_kv_head] of the layer under way
  std::vector<SketchSpace<Real>> spaces_;  ///< [n_thread]
};

}  // namespace reattend
