// Finds the fastest settings whose predicted damage is within bounds on every trace given, and, where it can be
// measured, proves one of them.
#pragma once
#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "policies/policy.h"
#include "replay/replay.h"
#include "tune/bounds.h"
#include "tune/candidate.h"
#include "tune/grid.h"
#include "tune/held_out.h"
#include "tune/measure.h"
#include "tune/prediction.h"
#include "tune/recommend.h"

namespace reattend {

struct TuneOptions {
  TuneGrid grid;
  TuneBounds bounds;
  std::string estimate;                   ///< what settings are ranked by; empty: the one that won the study
  std::vector<VerifiedSetting> verified;  ///< correct times and KL
  std::vector<Calibration> calibrations;  ///< of the machine to predict for, one for each trace; empty: their own
  bool other_machine = false;             ///< that machine is not the one that measures: times are not measured
  std::optional<int> n_measure;  ///< fastest candidates that are measured; nothing: kMeasureOfOne, or one of each
  int n_more = 3;                ///< slower ones that are measured if none of those passes
  int n_schedule = 12;           ///< schedules by layer that are tried at most, of each policy
  int n_whole = 24;              ///< at least so many settings are evaluated on all layers, after a sweep on some
  int n_whole_each = 5;          ///< and at least so many of each policy, where several are swept
  int n_screen_layer = 8;        ///< layers of that first sweep, evenly spread
};

struct TuneResult {
  std::vector<const PolicyInfo*> policies;  ///< that were swept
  std::vector<LeftOut> left_out;            ///< of the sweep
  std::vector<Candidate> candidates;        ///< by cost, fastest first
  size_t chosen = 0;                        ///< index into candidates
  Reason reason;                            ///< why this one
  std::vector<TunedTrace> traces;
  std::vector<HeldOutTrace> held_out;  ///< hold_out() adds to them
  double full_cost = 0;                ///< mean over the traces
  bool calibrated = false;             ///< every trace tuned on is; costs are in ms, on held-out traces too
  bool other_machine = false;          ///< as in TuneOptions
  bool has_values = true;              ///< every trace has some
  TuneBounds bounds;                   ///< as they held, defaults filled in
  Prediction prediction;
  const Candidate& best() const { return candidates[chosen]; }
  /// Whether the policy was swept; others have settings that were tried beside the sweep.
  bool swept(const PolicyInfo& policy) const {
    return std::find(policies.begin(), policies.end(), &policy) != policies.end();
  }
};

/// What settings of these traces are held against, defaults of bounds filled in, before any was tried.
TuneResult untried(std::vector<TunedTrace> traces, const Prediction& prediction, bool calibrated,
                   const TuneBounds& bounds);

/// Of one policy the three fastest candidates, which may be each other's neighbours; of several one of each.
inline constexpr int kMeasureOfOne = 3;

/// Sweeps by replay; `measure` may be empty. A candidate is on the front when no other is at least as good in cost,
/// estimate and lost mass and better in one. Those of the front within the bounds that are cheaper than full
/// attention may be recommended; if there are none, those nearest to the bounds (by the larger ratio to a bound). The
/// fastest candidates are measured on every trace, where several policies are swept the best of each first
/// (best_of_policies), and of those that pass on all of them (max_kl, min_agreement, max_ms) and are within kTimeNoise
/// of the fastest the one with the lowest KL is chosen; if none passes, slower ones are tried unless those would be
/// still farther from the bounds, and then the lowest KL wins; `reason` says which it was. Throws Cancelled, or Error,
/// for traces of different models and a bound on time that nothing can be held against too.
TuneResult tune(std::span<Replayer* const> traces,  // [n_trace]
                const TuneOptions& options, const MeasureFn& measure, const ProgressFn& progress, const Cancel& cancel);

/// Whether full attention was measured at more than a quarter off its prediction: the calibration is of another
/// machine, or a busy one. Not where another machine's times were asked for.
bool calibration_is_off(const TuneResult& result);

/// What tells the traces apart, those held out last: file names, or whole paths where two share one.
std::vector<std::string> trace_names(const TuneResult& result);
/// The trace that says least: what it can be judged by, all can.
const TraceInfo& poorest(std::span<const TraceInfo* const> traces);  // [n_trace]
/// Whether both are of one model: the same shape, and the same file's SHA-256 where both say one.
bool are_of_one_model(const TraceInfo& a, const TraceInfo& b);
/// Throws Error (usage), naming the trace, for one that is not of the first one's model: another file's SHA-256, or
/// another shape.
void check_same_model(std::span<const TraceInfo* const> traces);  // [n_trace]

}  // namespace reattend
