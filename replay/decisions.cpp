// Chooses the simulation of a layer: choices that are first entries of rankings follow from queries alone, all others
// are made one after the other.
#include "replay/decisions.h"

#include "replay/simulate.h"

namespace reattend {

std::unique_ptr<Simulation> simulate(const LayerPlans& plans, PreparedLayer& prepared, const PromptData& prompt,
                                     ThreadPool& pool) {
  if (plans.kept_from == KeptFrom::lists) return walk(plans, prepared, prompt, pool);
  return std::make_unique<RankingSimulation<PreparedLayer>>(plans, prepared);
}

}  // namespace reattend
