// Finds the fastest settings whose predicted damage is within bounds on every trace given, and, where it can be
// measured, proves one of them.
#pragma once
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "replay/replay.h"
#include "tune/grid.h"
#include "tune/prediction.h"
#include "tune/schedule.h"
#include "tune/score.h"

namespace reattend {

/// Each holds on every trace. Where KL can be predicted it is the bound, and the first two are off unless given;
/// otherwise they default to kMaxOutputError and kMaxLostMass.
struct TuneBounds {
  std::optional<double> max_output_error;  ///< 95th percentile over steps and heads
  std::optional<double> max_lost_mass;     ///< mean
  double max_kl = 0.1;                     ///< mean KL(full || policy): predicted where it can be, then measured
  std::optional<double> min_agreement;     ///< share of steps with the same top-1; measured only
  std::optional<double> max_ms;            ///< per token: predicted where it can be, then measured
};
inline constexpr double kMaxOutputError = 0.5, kMaxLostMass = 0.1;
/// Throws Error (usage) naming the option of a bound that is not a number above 0.
void check_bounds(const TuneBounds& bounds);

/// What an engine finds of a setting, teacher-forced on the recorded tokens of one of the traces; full attention's time
/// need not be in it. Full attention and the settings of a trace are asked for in kMeasureRounds rounds before the next
/// trace's: a machine's moods then meet all of them alike, and times are over all rounds so far.
using MeasureFn = std::function<Score(const Settings&, size_t trace)>;

inline constexpr int kMeasureRounds = 3;
/// Times that differ by less are alike: among them the lower KL wins.
inline constexpr double kTimeNoise = 0.03;

struct TuneOptions {
  TuneGrid grid;
  TuneBounds bounds;
  std::string estimate;                   ///< what settings are ranked by; empty: the one that won the study
  std::vector<VerifiedPoint> verified;    ///< correct times and KL
  std::vector<Calibration> calibrations;  ///< of the machine to predict for, one for each trace; empty: their own
  bool other_machine = false;             ///< that machine is not the one that measures: times are not measured
  int n_measure = 3;                      ///< fastest candidates that are measured
  int n_more = 3;                         ///< slower ones that are measured if none of those passes
  int n_schedule = 12;                    ///< schedules by layer that are tried at most
  int n_whole = 24;        ///< at least so many settings are evaluated on all layers, after a sweep on some
  int n_screen_layer = 8;  ///< layers of that first sweep, evenly spread
};

/// A setting's numbers on one trace; or on several, where times and positions are means and everything else is the
/// worst trace's.
struct PointNumbers {
  double cost = 0;      ///< predicted ms per token; MB per token where a trace tuned on has no calibration
  double speed_up = 0;  ///< cost of full attention over cost; of several traces the ratio of the means
  double output_error_mean = 0, output_error_p95 = 0;  ///< nan where the trace has no values
  double lost = 0, recovered = 0, normalised = 0;
  double effective_stride = 0;  ///< of several traces the harmonic mean
  double positions = 0;
  double estimate = 0;               ///< of damage, the one of TuneResult; nan where the trace does not give it
  double predicted_kl = 0;           ///< from the estimate; nan where there is no curve for this model
  std::vector<LayerNumbers> layers;  ///< of the layers that were evaluated; of several traces means; for schedules
  std::optional<Score> measured;     ///< `ms` is nan where times are predicted for another machine
};

/// One setting of the sweep.
struct TunePoint : PointNumbers {
  Settings settings;
  bool whole = false;  ///< evaluated on all layers; otherwise the numbers are those of the screened layers
  bool within_bounds = false, on_front = false;
  int schedule = 0;                  ///< of a schedule by layer: its number in this run, by cost from 1
  std::vector<PointNumbers> traces;  ///< parallel to TuneResult::traces
};
/// The settings' summary; schedules by layer, whose summaries look alike, with their number.
std::string name_of(const TunePoint& point);

/// A trace that was tuned on.
struct TunedTrace {
  TraceInfo info;  ///< with the calibration that was used
  double full_cost = 0;
};

/// The choice on a trace that had no part in it; costs are nan where they are in ms and it has no calibration.
struct HeldOutTrace : TunedTrace {
  PointNumbers numbers;
};

struct TuneResult {
  const PolicyInfo* policy = nullptr;  ///< that was swept
  std::vector<std::string> left_out;   ///< a line for each setting of the sweep that does not fit the traces
  std::string times_from;              ///< which machine times are predicted for, in words; empty where nobody said
  std::vector<TunePoint> points;       ///< by cost, fastest first
  size_t chosen = 0;                   ///< index into points
  std::vector<TunedTrace> traces;
  std::vector<HeldOutTrace> held_out;  ///< hold_out() adds to them
  double full_cost = 0;                ///< mean over the traces
  bool calibrated = false;             ///< every trace tuned on is; costs are in ms, on held-out traces too
  bool other_machine = false;          ///< as in TuneOptions
  bool has_values = true;              ///< every trace has some
  TuneBounds bounds;                   ///< as they held, defaults filled in
  Prediction prediction;
  std::string reason;  ///< why this one, in a sentence or two
  const TunePoint& best() const { return points[chosen]; }
};

/// Sweeps by replay; `measure` may be empty. A point is on the front when no other is at least as good in cost,
/// estimate and lost mass and better in one. Candidates are points of the front within the bounds that are cheaper than
/// full attention; if there are none, those nearest to the bounds (by the larger ratio to a bound). The fastest
/// candidates are measured on every trace, and of those that pass on all of them (max_kl, min_agreement, max_ms) and
/// are within kTimeNoise of the fastest the one with the lowest KL is chosen; if none passes, slower ones are tried
/// unless those would be still farther from the bounds, and then the lowest KL wins; `reason` says so. Throws
/// Cancelled, or Error, for traces of different models and a bound on time that nothing can be held against too.
TuneResult tune(std::span<Replayer* const> traces,  // [n_trace]
                const TuneOptions& options, const MeasureFn& measure, const ProgressFn& progress, const Cancel& cancel);

/// Replays the choice on a trace that it was not tuned on, and measures it there unless `measure` is empty. Without a
/// calibration times are predicted with the trace's own, if those it was tuned on had some. Throws Error (usage) for a
/// trace of another model, or without the values that settings are ranked by.
void hold_out(TuneResult& result, Replayer& trace, const std::optional<Calibration>& calibration,
              const std::function<Score(const Settings&)>& measure, const ProgressFn& progress, const Cancel& cancel);
/// Throws Error (usage) for a trace to hold out of another model, or without the values that settings are ranked, or
/// bound, by; to be asked before the sweep.
void check_held_out(const TraceInfo& held, std::span<const TraceInfo* const> tuned_on,  // [n_trace]
                    const TuneOptions& options);

/// What a setting gives on a held-out trace beside what it was chosen for: measured KL where there is one on both
/// sides, otherwise the predicted one, or the estimate where no KL is predicted.
struct Gap {
  std::string of;       ///< "measured KL", "predicted KL", or the estimate's name
  double there = 0;     ///< on the held-out trace
  double to_tuned = 0;  ///< ratio to the worst of those tuned on; nan where that is 0 or not known
  double to_bound = 0;  ///< ratio to the bound on KL; nan for an estimate
};
Gap gap_of(const HeldOutTrace& held, const TuneResult& result);
/// Whether the choice keeps the bounds there, as measured or else as predicted; nothing where that is not known.
std::optional<bool> keeps_bounds(const HeldOutTrace& held, const TuneResult& result);
/// A sentence for each held-out trace.
std::vector<std::string> validation_in_words(const TuneResult& result);

/// Where full attention was measured at more than a quarter off its prediction: that the calibration is of another
/// machine, or a busy one, and what to do. Empty otherwise, and where another machine's times were asked for.
std::string time_warning(const TuneResult& result);

/// Throws Error (usage), naming the trace, for one that is not of the first one's model: another file's SHA-256, or
/// another shape.
void check_same_model(std::span<const TraceInfo* const> traces);  // [n_trace]

}  // namespace reattend
