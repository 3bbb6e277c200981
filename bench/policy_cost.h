// What a policy's own work takes of its steps: time in gates and choices, told apart by kind of step.
#pragma once
#include <vector>

#include "engine/generate.h"

namespace reattend {

/// Steps at which the same number of KV heads refreshed, and at the step before each of them; medians.
struct StepKind {
  int64_t n_step = 0;  ///< 0: there were none
  double ms = 0;
  double choosing_ms = 0;  ///< of it in gate, before and after
};

struct PolicyCost {
  Settings settings;
  double ms_per_token = 0, choosing_ms = 0;  ///< every kind of step counts with its median
  StepKind partial;                          ///< the commonest at which the fewest KV heads refresh, if not all do
  StepKind full;                             ///< the commonest at which all do
  BytesRead bytes;                           ///< of a step, mean
};

struct PolicyCostOptions {
  int32_t n_step = 32, repeats = 3;
  int32_t n_skip = 0;  ///< first steps that are not counted
  ProgressFn progress;
  Cancel cancel;
};

/// Every policy continues forks of `prefilled`, in `repeats` rounds. The tokens fed are the prompt's. Throws Cancelled.
std::vector<PolicyCost> measure_costs(Backend& backend, const Model& model, const Prefilled& prefilled,
                                      const std::vector<Settings>& policies, const PolicyCostOptions& options);

}  // namespace reattend
