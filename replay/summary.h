// Means and percentiles of replayed layers.
#pragma once
#include <span>

#include "replay/cost/cost.h"
#include "replay/replay.h"

namespace reattend {

/// Of one layer or of several; where they are all on which the policy acts, its ms_per_token
/// too, and bytes_attend with what layers with a window read.
ReplaySummary summarize(const TraceInfo& info, std::span<const LayerReplay> layers);

/// ms_per_token and ms_per_token_full from info.calibration, which need not be the trace's; only where `layers` are
/// all.
void predict_times(const TraceInfo& info, std::span<const LayerReplay> layers, ReplaySummary& total);

/// Per step, summed over the given layers.
CountedWork work_of(const TraceInfo& info, std::span<const LayerReplay> layers);

}  // namespace reattend
