// One choice of a simulated policy, with the scores that it was made by: why a position was kept or not.
#pragma once
#include <cstddef>
#include <span>
#include <vector>

#include "kernels/selection.h"

namespace reattend {

/// The choice that made the kept set with which a KV head attends at a step.
struct Choice {
  int32_t step = -1;  ///< that made it, 0 the prompt's end; -1: there is none
  Select what;
  int32_t begin = 0;                ///< the first candidate, where `candidates` is empty: they are one run
  std::vector<int32_t> candidates;  ///< ascending; pages by their numbers
  std::vector<float> scores;        ///< of each candidate
  std::vector<int32_t> ranks;       ///< of each candidate, 0 for the best; of equals the earlier ranks higher

  int32_t n_candidate() const { return static_cast<int32_t>(scores.size()); }
  /// Of a position: that of its page where pages are chosen. -1 where it did not compete.
  int32_t index_of(int32_t position) const;
  int32_t rank_of(int32_t position) const {
    const int32_t index = index_of(position);
    return index < 0 ? -1 : ranks[static_cast<size_t>(index)];
  }
};

/// [n] Places of scores, 0 for the highest; of equals the earlier ranks higher.
std::vector<int32_t> ranks_of(std::span<const float> scores);  // [n]

}  // namespace reattend
