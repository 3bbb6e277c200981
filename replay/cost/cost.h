// Predicted time of a decode step: what it reads and chooses, at the rates that a machine was measured at.
#pragma once
#include <string>
#include <vector>

#include "replay/cost/counted_work.h"
#include "traces/read/reader.h"

namespace reattend {

/// Bytes of keys and values that attention reads; here and below `work` is of a step.
double attend_bytes(const TraceInfo& info, const CountedWork& work);
/// Bytes that only the selection reads, copies of kept rows included (docs/semantics.md, "What is measured": work).
double select_bytes(const TraceInfo& info, const CountedWork& work);

/// Whether there is what a prediction in milliseconds needs.
bool is_calibrated(const Calibration& calibration);

/// weights_ms + attend_ms + bytes of runs / attend_stream + copied kept bytes / attend_gather + others / attend_place
/// + rescored keys / rescore + ns for each position that is ranked, chosen, added up, copied, and for each page. A
/// calibration without ns (traces before 1.2) has bytes of (ranked and added keys, and bounds) / score instead, which
/// includes the copies. A rate that was not measured counts as the next simpler one, in the end the stream's. 0 without
/// a calibration.
double predict_ms(const TraceInfo& info, const CountedWork& work);
/// Fields of the calibration that predict_ms() would read for this work and that were not measured, so that a simpler
/// rate, or nothing, stands in for them: the prediction is a guess to that extent. Nothing without a calibration.
std::vector<std::string> assumed_rates(const TraceInfo& info, const CountedWork& work);

/// Bytes of keys and values that layers with a window of their own read at a step, whatever the policy. A calibration's
/// weights_ms has their time.
double window_bytes(const TraceInfo& info);
/// The work of full attention in the layers on which a policy acts, mean over the trace's steps.
CountedWork full_work(const TraceInfo& info);

}  // namespace reattend
