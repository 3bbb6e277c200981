// Which layers suffer: what a layer loses when it alone runs under a policy, at several budgets.
#pragma once
#include <span>
#include <vector>

#include "replay/replay.h"

namespace reattend {

/// A replay is fed with the recorded queries, so a layer's numbers do not depend on what other layers do: each is
/// the only one that attends to less.
struct LayerSensitivity {
  int32_t layer = 0;
  std::vector<ReplaySummary> at;  ///< [budgets]
};

/// Replays `base` with each budget as its K. Output errors are nan where the trace has no values.
LayerSensitivity sensitivity(Replayer& replayer, int32_t layer, const Settings& base, std::span<const int32_t> budgets,
                             const Cancel& cancel);

/// 1 for the largest, equal ones in their order; nan comes last.
std::vector<int32_t> places(std::span<const double> values);

}  // namespace reattend
