// Carries out the choices of any policy on a recorded layer, step after step, with the engine's own operations.
#pragma once
#include "replay/choice.h"
#include "replay/decisions.h"

namespace reattend {

/// For policies whose choices depend on earlier ones, or on more than a row. Sums, bounds and kept sets are state, as
/// in the engine, and a step costs what the policy would read, not a whole row.
std::unique_ptr<Simulation> walk(const LayerPlans& plans, PreparedLayer& prepared, const PromptData& prompt,
                                 ThreadPool& pool);

/// Follows one KV head, of any policy, to the choice that it attends with at a step. Nothing of the layer but queries
/// and keys need be prepared: rankings are made again, by the operations that the engine chooses with.
Choice choice_of(const LayerPlans& plans, PreparedLayer& prepared, const PromptData& prompt, int32_t kv_head,
                 int32_t step, ThreadPool& pool, const Cancel& cancel);

}  // namespace reattend
