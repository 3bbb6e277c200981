// Scores rows with the kernels that the engine selects by, a step at a time.
#include "replay/analysis/row_tops.h"

#include <algorithm>
#include <utility>

#include "kernels/cpu/ops.h"

namespace reattend {

RowTops::RowTops(const PreparedLayer& layer, int32_t kv_head, Reduce reduce, int32_t pool, int32_t depth)
    : layer_(layer),
      kv_head_(kv_head),
      reduce_(reduce),
      pool_(pool),
      depth_(std::min(std::max(depth, 1), layer.n_row(layer.n_step()))) {}

struct RowTops::Scratch {
  std::vector<float> rows;  ///< [group][stride]
  std::vector<float> reduced, pooled;
};

void RowTops::hold(Steps steps, ThreadPool& threads, const Cancel& cancel) {
  std::vector<int32_t> old(static_cast<size_t>(steps.size()) * depth_);
  old.swap(positions_);
  const Steps before = std::exchange(steps_, steps);
  std::vector<Scratch> scratch(static_cast<size_t>(threads.n_thread()));
  threads.run(steps.size(), [&](int64_t i, int thread) {
    cancel.check();
    const int32_t t = steps.first + static_cast<int32_t>(i);
    if (!before.holds(t)) return rank(t, scratch[static_cast<size_t>(thread)]);
    std::copy_n(old.begin() + int64_t{t - before.first} * depth_, depth_, positions_.begin() + i * depth_);
  });
}

void RowTops::rank(int32_t t, Scratch& s) {
  const int32_t n = layer_.n_row(t), group = layer_.group();
  s.reduced.resize(static_cast<size_t>(n)), s.pooled.resize(static_cast<size_t>(n));
  if (reduce_ == Reduce::mean) {
    layer_.copy_row(kv_head_, t, s.reduced.data());
  } else {
    const int64_t stride = (int64_t{n} + 63) / 64 * 64;
    s.rows.resize(static_cast<size_t>(group * stride));
    Cpu::score_run(layer_.query(t) + int64_t{kv_head_} * group * layer_.d_head(), group, layer_.blocks(kv_head_), n,
                   layer_.scale(), s.rows.data(), stride);
    for (int32_t h = 0; h < group; ++h) Cpu::softmax(s.rows.data() + h * stride, n);
    Cpu::reduce_heads(s.rows.data(), group, stride, n, reduce_, s.reduced.data());
  }
  Cpu::max_pool(s.reduced.data(), n, pool_, s.pooled.data());
  Cpu::top_k(s.pooled.data(), n, size(t), positions_.data() + static_cast<size_t>(t - steps_.first) * depth_);
}

void best_masses(const float* row, int32_t n, int32_t most, MassScratch& scratch) {
  const int32_t k = std::min(most, n);
  scratch.order.resize(static_cast<size_t>(k));
  scratch.mass.assign(static_cast<size_t>(k) + 1, 0);
  Cpu::top_k(row, n, k, scratch.order.data());
  for (int32_t i = 0; i < k; ++i) {
    scratch.mass[static_cast<size_t>(i) + 1] = scratch.mass[static_cast<size_t>(i)] + row[scratch.order[i]];
  }
}

}  // namespace reattend
