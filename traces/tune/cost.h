// Predicted time of a decode step: bytes over the rates that the recording machine was measured at.
#pragma once
#include "traces/read/reader.h"

namespace reattend {

/// Positions (and pages) of a step, summed over layers and KV heads (means over steps, so not integers).
struct StepWork {
  double run = 0;       ///< attended to in runs
  double kept = 0;      ///< attended to as entries of kept sets
  double ranked = 0;    ///< that kept sets were chosen from, or whose weights were added up
  double rescored = 0;  ///< whose keys were read for a choice alone
  double packed = 0;    ///< whose keys and values were copied to be read in one run
  double bounds = 0;    ///< pages whose bounds were read
};

/// Bytes of keys and values that attention reads.
double attend_bytes(const TraceInfo& info, const StepWork& work);
/// Bytes that only the selection reads, copies of kept rows included (SEMANTICS, "work").
double select_bytes(const TraceInfo& info, const StepWork& work);

/// Whether the trace has what a prediction in milliseconds needs.
bool is_calibrated(const Calibration& calibration);

/// weights_ms + bytes of (runs and rescored keys) / attend_stream + kept bytes / attend_gather + bytes of (ranked keys
/// and bounds) / score, which includes the copies. A rate that was not measured counts as the stream's. 0 without a
/// calibration.
double predict_ms(const TraceInfo& info, const StepWork& work);

/// The work of full attention, mean over the trace's steps.
StepWork full_work(const TraceInfo& info);

}  // namespace reattend
