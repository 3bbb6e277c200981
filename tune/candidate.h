// A candidate of the tuner: a setting with what a replay says of it on each trace, and what an engine measured.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "policies/settings.h"
#include "traces/read/info.h"
#include "tune/schedule.h"
#include "tune/score.h"

namespace reattend {

struct TuneResult;

/// What is known of a setting on one trace; or on several, where times and positions are means and everything else is
/// the worst trace's.
struct Metrics {
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
/// Means of times and positions, the worst of everything else; measured where all were. `full_cost` of the same traces,
/// their mean.
Metrics over_traces(std::span<const Metrics> traces, double full_cost);  // [n_trace]

/// One setting that was tried.
struct Candidate : Metrics {
  Settings settings;
  bool whole = false;  ///< evaluated on all layers; otherwise the metrics are those of the screened layers
  bool within_bounds = false, on_front = false;
  int schedule = 0;             ///< of a schedule by layer: its number in this run, by cost from 1
  std::vector<Metrics> traces;  ///< parallel to TuneResult::traces
};
/// The settings' summary; schedules by layer, whose summaries look alike, with their number.
std::string name_of(const Candidate& candidate);

/// Adds candidates, each in place of an older one of the same settings.
void merge(std::vector<Candidate>& candidates, std::vector<Candidate> newer);
/// Full attention, for when nothing is faster.
Candidate full_candidate(const TuneResult& result);

/// A trace that was tuned on.
struct TunedTrace {
  TraceInfo info;  ///< with the calibration that was used
  double full_cost = 0;
};
/// Parallel to the traces.
std::vector<const TraceInfo*> infos_of(std::span<const TunedTrace> traces);  // [n_trace]

}  // namespace reattend
