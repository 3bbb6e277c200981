// Predicted time of a decode step: what it reads and chooses, at the rates that a machine was measured at.
#pragma once
#include <string>
#include <vector>

#include "traces/read/reader.h"

namespace reattend {

/// Positions (and pages) of a step, summed over layers and KV heads (means over steps, so not integers).
struct StepWork {
  double run = 0;       ///< attended to in runs
  double kept = 0;      ///< attended to as entries of kept sets
  double in_place = 0;  ///< of those, where they lie in the cache
  double ranked = 0;    ///< that kept sets were chosen from by whole rows
  double chosen = 0;    ///< that such choices kept
  double summed = 0;    ///< whose weights were added up or ranked within the attended set
  double rescored = 0;  ///< whose keys were read for a choice alone
  double packed = 0;    ///< whose keys and values were copied to be read in one run
  double bounds = 0;    ///< pages whose bounds were read
};

/// All of them, so that nobody who adds or scales forgets one.
struct StepWorkPart {
  const char* name;
  double StepWork::*value;
};
inline constexpr StepWorkPart kStepWork[] = {
    {"run", &StepWork::run},           {"kept", &StepWork::kept},     {"in_place", &StepWork::in_place},
    {"ranked", &StepWork::ranked},     {"chosen", &StepWork::chosen}, {"summed", &StepWork::summed},
    {"rescored", &StepWork::rescored}, {"packed", &StepWork::packed}, {"bounds", &StepWork::bounds}};

/// Bytes of keys and values that attention reads.
double attend_bytes(const TraceInfo& info, const StepWork& work);
/// Bytes that only the selection reads, copies of kept rows included (SEMANTICS, "work").
double select_bytes(const TraceInfo& info, const StepWork& work);

/// Whether there is what a prediction in milliseconds needs.
bool is_calibrated(const Calibration& calibration);

/// weights_ms + attend_ms + bytes of runs / attend_stream + copied kept bytes / attend_gather + others / attend_place
/// + rescored keys / rescore + ns for each position that is ranked, chosen, added up, copied, and for each page. A
/// calibration without ns (traces before 1.2) has bytes of (ranked and added keys, and bounds) / score instead, which
/// includes the copies. A rate that was not measured counts as the next simpler one, in the end the stream's. 0 without
/// a calibration.
double predict_ms(const TraceInfo& info, const StepWork& work);
/// Fields of the calibration that predict_ms() would read for this work and that were not measured, so that a simpler
/// rate, or nothing, stands in for them: the prediction is a guess to that extent. Nothing without a calibration.
std::vector<std::string> assumed_rates(const TraceInfo& info, const StepWork& work);

/// The work of full attention, mean over the trace's steps.
StepWork full_work(const TraceInfo& info);

}  // namespace reattend
