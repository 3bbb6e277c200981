// What every step of a layer would keep: its best positions by pooled score, and a row's mass from the top down.
#pragma once
#include <vector>

#include "replay/prepared.h"

namespace reattend {

/// The best `depth` positions of one KV head's rows by score = pool(reduce(row)), best first: any K up to `depth` is a
/// prefix.
class RowTops {
 public:
  RowTops(const PreparedLayer& layer, int32_t kv_head, Reduce reduce, int32_t pool, int32_t depth);
  /// Of these steps; what is there of them already stays, all others go.
  void hold(Steps steps, ThreadPool& threads, const Cancel& cancel);
  int32_t depth() const { return depth_; }
  /// How many there are of step t: depth, or all of its row.
  int32_t size(int32_t t) const { return std::min(depth_, layer_.n_row(t)); }
  const int32_t* of(int32_t t) const {  ///< [size(t)] of a step that is held
    return positions_.data() + static_cast<size_t>(t - steps_.first) * depth_;
  }

 private:
  struct Scratch;
  void rank(int32_t t, Scratch& scratch);
  const PreparedLayer& layer_;
  int32_t kv_head_;
  Reduce reduce_;
  int32_t pool_, depth_;
  Steps steps_;
  std::vector<int32_t> positions_;  ///< [steps_][depth]
};

/// Working space of best_masses().
struct MassScratch {
  std::vector<int32_t> order;
  std::vector<double> mass;
};
/// row [n] -> scratch.mass [min(most, n) + 1]: mass[k] is that of the k highest entries.
void best_masses(const float* row, int32_t n, int32_t most, MassScratch& scratch);

}  // namespace reattend
