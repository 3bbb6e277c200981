// Finds the fastest settings whose predicted damage is within bounds, and, where it can be measured, proves one of
// them.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "traces/replay/replay.h"
#include "traces/tune/prediction.h"

namespace reattend {

/// What the sweep tries: every budget with every stride, on the fixed schedule and on the query schedule with every
/// threshold. Empty lists mean sensible ones for the trace's size.
struct TuneGrid {
  Settings base = Settings("recycled");  ///< whatever is not swept (pool, reduce, ...)
  std::vector<Value> budgets;            ///< counts or fractions
  std::vector<Value> strides;            ///< of the fixed schedule
  std::vector<Value> gate_strides;       ///< of the query schedule
  std::vector<double> thresholds;
  std::vector<Settings> more;  ///< tried as they stand beside the grid, of any policy
};

/// All settings of the grid, largest budgets first. Throws Error (usage) for a base that does not take S, K and a
/// schedule.
std::vector<Settings> make_grid(const TuneGrid& grid, const TraceInfo& info);

/// Where KL can be predicted it is the bound, and the first two are off unless given; otherwise they default to
/// kMaxOutputError and kMaxLostMass.
struct TuneBounds {
  std::optional<double> max_output_error;  ///< 95th percentile over steps and heads
  std::optional<double> max_lost_mass;     ///< mean
  double max_kl = 0.1;                     ///< mean KL(full || policy): predicted where it can be, then measured
  std::optional<double> min_agreement;     ///< share of steps with the same top-1; measured only
  std::optional<double> max_ms;            ///< per token: predicted, then measured
};
inline constexpr double kMaxOutputError = 0.5, kMaxLostMass = 0.1;
/// Throws Error (usage) naming the option of a bound that is not a number above 0.
void check_bounds(const TuneBounds& bounds);

/// What an engine found for one setting, teacher-forced on the recorded tokens.
struct Measured {
  double kl = 0;         ///< mean KL(full || policy) in nats
  double agreement = 0;  ///< share of steps with the same top-1
  double ms_per_token = 0;
};
using MeasureFn = std::function<Measured(const Settings&)>;

struct TuneOptions {
  TuneGrid grid;
  TuneBounds bounds;
  std::string estimate;                    ///< what settings are ranked by; empty: the one that won the study
  std::vector<VerifiedPoint> verified;     ///< correct times and KL
  std::optional<Calibration> calibration;  ///< of the machine to predict for; none: the trace's
  int n_measure = 3;                       ///< fastest candidates that are measured
  int n_more = 3;                          ///< slower ones that are measured if none of those passes
  int n_whole = 24;        ///< at least so many settings are evaluated on all layers, after a sweep on some
  int n_screen_layer = 8;  ///< layers of that first sweep, evenly spread
};

/// One setting of the sweep.
struct TunePoint {
  Settings settings;
  bool whole = false;   ///< evaluated on all layers; otherwise the numbers are those of the screened layers
  double cost = 0;      ///< predicted ms per token; MB per token where the trace has no calibration
  double speed_up = 0;  ///< cost of full attention over cost
  double output_error_mean = 0, output_error_p95 = 0;  ///< 0 where the trace has no values
  double lost = 0, recovered = 0, normalised = 0, effective_stride = 0, positions = 0;
  double estimate = 0;      ///< of damage, the one of TuneResult; nan where the trace does not give it
  double predicted_kl = 0;  ///< from the estimate; nan where there is no curve for this model
  bool within_bounds = false, on_front = false;
  std::optional<Measured> measured;
};

struct TuneResult {
  std::vector<TunePoint> points;  ///< by cost, fastest first
  size_t chosen = 0;              ///< index into points
  double full_cost = 0;
  bool calibrated = false, has_values = true;
  TuneBounds bounds;  ///< as they held, defaults filled in
  Prediction prediction;
  std::string reason;  ///< why this one, in a sentence or two
  const TunePoint& best() const { return points[chosen]; }
};

/// Sweeps by replay; `measure` may be empty. A point is on the front when no other is at least as good in cost,
/// estimate and lost mass and better in one. Candidates are points of the front within the bounds that are cheaper than
/// full attention; if there are none, those nearest to the bounds (by the larger ratio to a bound). The fastest
/// candidates are measured and the fastest that passes (max_kl, min_agreement, max_ms) is chosen; if none passes,
/// slower ones are tried, and then the lowest KL wins; `reason` says so. Throws Cancelled, or Error.
TuneResult tune(Replayer& replayer, const TuneOptions& options, const MeasureFn& measure, const ProgressFn& progress,
                const Cancel& cancel);

}  // namespace reattend
