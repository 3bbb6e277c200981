// Scores rows with the kernels that the engine selects by, a step at a time.
#include "replay/analysis/row_tops.h"

#include <algorithm>

#include "kernels/cpu/ops.h"

namespace reattend {

RowTops::RowTops(const PreparedLayer& layer, Reduce reduce, int32_t pool, int32_t depth, ThreadPool& threads,
                 const Cancel& cancel)
    : depth_(std::min(std::max(depth, 1), layer.n_row(layer.n_step()))),
      n_prompt_(layer.n_row(0)),
      n_step_(layer.n_step()) {
  positions_.resize(static_cast<size_t>(layer.n_kv_head()) * (n_step_ + 1) * depth_);
  struct Scratch {
    std::vector<float> rows;  ///< [group][stride]
    std::vector<float> reduced, pooled;
  };
  std::vector<Scratch> scratch(static_cast<size_t>(threads.n_thread()));
  const int32_t group = layer.group();
  threads.run(int64_t{layer.n_kv_head()} * (n_step_ + 1), [&](int64_t i, int thread) {
    cancel.check();
    const auto g = static_cast<int32_t>(i / (n_step_ + 1)), t = static_cast<int32_t>(i % (n_step_ + 1));
    const int32_t n = layer.n_row(t);
    Scratch& s = scratch[static_cast<size_t>(thread)];
    s.reduced.resize(static_cast<size_t>(n)), s.pooled.resize(static_cast<size_t>(n));
    if (reduce == Reduce::mean) {
      layer.copy_row(g, t, s.reduced.data());
    } else {
      const int64_t stride = (int64_t{n} + 63) / 64 * 64;
      s.rows.resize(static_cast<size_t>(group * stride));
      Cpu::score_run(layer.query(t) + int64_t{g} * group * layer.d_head(), group, layer.blocks(g), n, layer.scale(),
                     s.rows.data(), stride);
      for (int32_t h = 0; h < group; ++h) Cpu::softmax(s.rows.data() + h * stride, n);
      Cpu::reduce_heads(s.rows.data(), group, stride, n, reduce, s.reduced.data());
    }
    Cpu::max_pool(s.reduced.data(), n, pool, s.pooled.data());
    Cpu::top_k(s.pooled.data(), n, size(t), positions_.data() + static_cast<size_t>(i) * depth_);
  });
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
