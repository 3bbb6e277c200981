// Carries out the choices of any policy on a recorded layer, step after step, with the engine's own operations.
#pragma once
#include "replay/decisions.h"

namespace reattend {

/// For policies whose choices depend on earlier ones, or on more than a row. Sums, bounds and kept sets are state, as
/// in the engine, and a step costs what the policy would read, not a whole row.
std::unique_ptr<Simulation> walk(const LayerPlans& plans, PreparedLayer& prepared, const PromptData& prompt,
                                 ThreadPool& pool);

}  // namespace reattend
