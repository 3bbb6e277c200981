// What each policy of a tuner's run comes to by itself, beside the one that is recommended.
#pragma once
#include <cstddef>
#include <optional>
#include <vector>

#include "tune/tune.h"

namespace reattend {

/// A policy of the run and its best setting: of those that are cheaper than full attention the fastest within the
/// bounds, as predicted, or where there is none the nearest to them. The same rule for all, so that bests can be
/// compared.
struct PolicyBest {
  const PolicyInfo* policy = nullptr;
  size_t n_tried = 0, n_whole = 0,
         n_within = 0;              ///< settings; on all layers; of these, faster than full and within the bounds
  std::optional<size_t> candidate;  ///< index; nothing where none on all layers is cheaper
  bool within = false;              ///< it is within the bounds
};

/// Of each policy that was swept or has a candidate, full attention left out: those within the bounds first, the
/// fastest first, then the nearest to them.
std::vector<PolicyBest> best_of_policies(const TuneResult& result);

/// Of the bests that were measured those that are faster or nearer to full attention than all others: the lowest KL
/// among the fastest, whose times are within kTimeNoise, as the choice is made; then the same of those whose KL is
/// lower. Times are predicted where another machine's were asked for.
std::vector<PolicyBest> measured_front(const std::vector<PolicyBest>& bests, const TuneResult& result);

}  // namespace reattend
