// A replay's prediction held against the engine under the same settings: on the recorded tokens, and running free.
#pragma once
#include <vector>

#include "engine/record/calibrate.h"
#include "evals/teacher_forced.h"
#include "replay/replay.h"
#include "tune/verified.h"

namespace reattend {

/// Means over steps and KV heads of one layer.
struct LayerCheck {
  int32_t layer = 0;
  double decisions_equal = 0;  ///< share of full / partial decisions
  double jaccard = 0;          ///< of the attended sets
  double predicted_mass = 0, measured_mass = 0;
};

/// The policy on its own text, greedily, beside full attention on its own.
struct FreeRun {
  int32_t n_step = 0;
  int32_t n_common = 0;  ///< tokens until the two texts part
  double mass = 0, full = 0, positions = 0;
};

struct Verification {
  Settings settings;
  int32_t n_prompt = 0, n_step = 0;
  ReplaySummary predicted;
  double recalibrated_ms = 0,
         recalibrated_full_ms = 0;  ///< predicted from a calibration between the rounds of timing; 0: none
  VerifiedSetting verified;         ///< estimates and what was measured, for tuning with
  double predicted_full = 0;        ///< share of steps and heads that the replay had full
  double decisions_equal = 0, jaccard = 0, identical = 0;  ///< identical: share of sets without a difference
  std::vector<double> jaccard_of_step;                     ///< [T]
  std::vector<LayerCheck> layers;
  FreeRun free;
};

struct VerifyOptions {
  int32_t repeats = 3;               ///< rounds of timing, full attention beside the policy; 0: no times
  Calibrator* calibrator = nullptr;  ///< has its place in these rounds
  const TraceInfo* info = nullptr;   ///< the trace's, with a calibrator
  ProgressFn progress;
  Cancel cancel;
};

/// `replay`: of all layers without a window of a trace of these tokens, with keep_sets and estimates. Throws Error
/// where it is of another shape, Cancelled.
Verification verify(Backend& backend, const Model& model, const Prefilled& prefilled, const ReferenceRun& full,
                    const ReplayResult& replay, const VerifyOptions& options);

}  // namespace reattend
