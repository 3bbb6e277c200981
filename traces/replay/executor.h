// Carries out a policy's plans on a prepared layer: first what every step decides, then what each set is worth.
#pragma once
#include <vector>

#include "policies/policy.h"
#include "traces/replay/prepared.h"
#include "traces/replay/replay.h"

namespace reattend {

/// What one KV head does at one step. The kept set it finds is the ranking of step `kept_step`, cut to `keep`.
struct Decision {
  bool otherwise = false;  ///< the plan's second branch
  int32_t kept_step = -1;  ///< step that chose the kept set; -1: there is none
  int32_t keep = 0;
  float cosine = 0;  ///< nan where the policy compares nothing
};

/// Everything that follows from queries alone: no row is needed.
struct Decisions {
  std::vector<Decision> steps;  ///< [T][n_kv_head], index t - 1
  RankNeed rank;                ///< what kept sets are chosen by
  int32_t depth = 1;            ///< the largest kept or partial set
};

Decisions decide(const Policy& policy, int32_t layer, const PreparedLayer& prepared);

/// `prepared` must hold what `decisions` and `request` ask for.
LayerReplay measure(const Policy& policy, int32_t layer, const Decisions& decisions, const PreparedLayer& prepared,
                    const ReplayRequest& request, const Rope& rope, ThreadPool& pool, const Cancel& cancel);

}  // namespace reattend
