// What every step of a layer would keep: its best positions by pooled score, and a row's mass from the top down.
#pragma once
#include <vector>

#include "replay/prepared.h"

namespace reattend {

/// The best `depth` positions of the steps 0..T of each KV head by score = pool(reduce(row)), best first: any K up to
/// `depth` is a prefix.
class RowTops {
 public:
  RowTops(const PreparedLayer& layer, Reduce reduce, int32_t pool, int32_t depth, ThreadPool& threads,
          const Cancel& cancel);
  /// How many there are of step t: depth, or all of its row.
  int32_t size(int32_t t) const { return std::min(depth_, n_prompt_ + t); }
  const int32_t* of(int32_t kv_head, int32_t t) const {  ///< [size(t)]
    return positions_.data() + (static_cast<size_t>(kv_head) * (n_step_ + 1) + t) * depth_;
  }

 private:
  int32_t depth_, n_prompt_, n_step_;
  std::vector<int32_t> positions_;  ///< [n_kv_head][T + 1][depth]
};

/// Working space of best_masses().
struct MassScratch {
  std::vector<int32_t> order;
  std::vector<double> mass;
};
/// row [n] -> scratch.mass [min(most, n) + 1]: mass[k] is that of the k highest entries.
void best_masses(const float* row, int32_t n, int32_t most, MassScratch& scratch);

}  // namespace reattend
