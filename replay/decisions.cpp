// Choices that are first entries of rankings follow from queries alone; all others take a walk.
#include "replay/decisions.h"

#include "replay/simulate.h"

namespace reattend {

Decisions decide(const LayerPlans& plans, PreparedLayer& prepared, const PromptData& prompt, ThreadPool& pool,
                 const Cancel& cancel) {
  if (plans.kept_from != KeptFrom::lists) return decide_by_rankings(plans, prepared);
  return walk(plans, prepared, prompt, pool, cancel);
}

}  // namespace reattend
