// Predicted time of a decode step: bytes over the rates that the recording machine was measured at.
#pragma once
#include "traces/read/reader.h"

namespace reattend {

/// Positions of a step, summed over layers and KV heads (means over steps, so not integers).
struct StepWork {
  double run = 0;       ///< attended to in runs
  double kept = 0;      ///< attended to as entries of kept sets
  double ranked = 0;    ///< in rows that kept sets were chosen from
  double rescored = 0;  ///< of those, in rows whose keys were read for the choice alone
};

/// Bytes of keys and values that attention reads.
double attend_bytes(const TraceInfo& info, const StepWork& work);
/// Bytes of keys that only the selection reads (SEMANTICS, "work").
double select_bytes(const TraceInfo& info, const StepWork& work);

/// Whether the trace has what a prediction in milliseconds needs.
bool is_calibrated(const Calibration& calibration);

/// weights_ms + run bytes / attend_stream + kept bytes / attend_gather + ranked key bytes / score. A rate that was not
/// measured counts as the stream's. 0 without a calibration.
double predict_ms(const TraceInfo& info, const StepWork& work);

/// The work of full attention, mean over the trace's steps.
StepWork full_work(const TraceInfo& info);

}  // namespace reattend
