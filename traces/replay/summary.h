// Means and percentiles of replayed layers.
#pragma once
#include <span>

#include "traces/replay/replay.h"
#include "traces/tune/cost.h"

namespace reattend {

/// Of one layer or of several; ms_per_token only where they are all the layers of the trace.
ReplaySummary summarize(const TraceInfo& info, std::span<const LayerReplay> layers);

/// Per step, summed over the given layers.
StepWork work_of(const TraceInfo& info, std::span<const LayerReplay> layers);

}  // namespace reattend
