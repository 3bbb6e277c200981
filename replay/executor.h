// Measures what a layer's decisions are worth: masses, overlaps and output errors of every step.
#pragma once
#include "replay/decisions.h"

namespace reattend {

/// Of a layer: arrays of all steps, with nothing measured yet.
LayerReplay make_layer_replay(int32_t layer, const PreparedLayer& prepared, const ReplayRequest& request);

/// Fills in the steps that were decided; `prepared` must hold what `plans` and `request` ask for of these. The sets of
/// those steps and KV heads that the request names are added, and all where there are `all_sets`.
void measure(const LayerPlans& plans, const Decisions& decisions, PreparedLayer& prepared, const ReplayRequest& request,
             bool all_sets, const Rope& rope, ThreadPool& pool, const Cancel& cancel, LayerReplay& out);

}  // namespace reattend
