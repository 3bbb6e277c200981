// Measures what a layer's decisions are worth: masses, overlaps and output errors of every step.
#pragma once
#include "replay/decisions.h"

namespace reattend {

/// `prepared` must hold what `plans` and `request` ask for.
LayerReplay measure(const LayerPlans& plans, int32_t layer, const Decisions& decisions, PreparedLayer& prepared,
                    const ReplayRequest& request, const Rope& rope, ThreadPool& pool, const Cancel& cancel);

}  // namespace reattend
