// Runs the stages of tuning: the grid, a sweep on some layers, one of the best on all of them, schedules by layer, the
// front, the recommendation.
#include "tune/tune.h"

#include <fmt/format.h>
#include <algorithm>
#include <set>

#include "base/error.h"
#include "replay/estimates.h"
#include "tune/pareto.h"
#include "tune/refine.h"
#include "tune/sweep.h"

namespace reattend {
namespace {

/// What is not beaten: of all settings, and where several policies are swept of each by itself. Otherwise one that has
/// many settings would crowd out another's few, of which some layers alone cannot tell.
std::vector<Settings> worth_replaying(const TuneResult& result, const TuneOptions& options) {
  const std::vector<Candidate>& all = result.candidates;
  std::vector<bool> taken = most_promising(all, static_cast<size_t>(options.n_whole));
  for (const PolicyInfo* const policy : result.policies) {
    if (result.policies.size() < 2) break;
    const std::vector<bool> of_it =
        most_promising(all, static_cast<size_t>(options.n_whole_each),
                       [&](const Candidate& each) { return &each.settings.info() == policy; });
    for (size_t i = 0; i < all.size(); ++i) taken[i] = taken[i] || of_it[i];
  }
  std::vector<Settings> settings;
  for (size_t i = 0; i < all.size(); ++i) {
    if (taken[i]) settings.push_back(all[i].settings);
  }
  return settings;
}

/// Screening: an order is all that some of the layers are good for, and all that is needed to drop most of the grid.
void sweep_grid(Sweep& sweep, const TuneOptions& options, TuneResult& result) {
  GridSettings tried = make_grid(options.grid, infos_of(result.traces));
  std::vector<Settings> grid = std::move(tried.settings);
  result.left_out = std::move(tried.left_out);
  const std::vector<int32_t> all = sweep.all_layers(), some = sweep.screen_layers(options.n_screen_layer);
  if (some.size() < all.size() && static_cast<int>(grid.size()) > options.n_whole) {
    merge(result.candidates, sweep.evaluate(grid, some, "sweep on some layers"));
    grid = worth_replaying(result, options);
  }
  merge(result.candidates, sweep.evaluate(grid, all, "sweep"));
}

/// What is known before the sweep.
TuneResult start(const Sweep& sweep, const TuneOptions& options) {
  TuneResult result = untried(sweep.traces(), sweep.prediction(), sweep.calibrated(), options.bounds);
  for (const Settings& base : options.grid.bases) result.policies.push_back(&base.info());
  result.other_machine = options.other_machine;
  return result;
}

/// A bound that nothing can be held against would be reported as kept.
void check_measurable(const TuneResult& result, bool measures) {
  if (result.bounds.max_output_error && !result.has_values) {
    fail_usage({.where = "--max-output-error",
                .expected = "traces with values, which output errors come from",
                .got = "one recorded without",
                .remedy = "leave it out, or record without --no-values"});
  }
  if (!result.bounds.max_ms || result.calibrated || measures) return;
  fail_usage({.where = "--max-ms",
              .expected = "traces with a calibration, or another one to predict times by",
              .got = "no calibration",
              .remedy = "give --calibration or --datasheet, or record with one; with --model times are measured"});
}

std::string shape_of(const TraceInfo& info) {
  return fmt::format("{} layers, {} heads, {} KV heads of {}, {} words", info.n_layer, info.n_head, info.n_kv_head,
                     info.d_head, info.n_vocab);
}

}  // namespace

bool are_of_one_model(const TraceInfo& a, const TraceInfo& b) {
  const std::string one = a.attribute("model_sha256"), other = b.attribute("model_sha256");
  return shape_of(a) == shape_of(b) && (one.empty() || other.empty() || one == other);
}

void check_same_model(std::span<const TraceInfo* const> traces) {  // [n_trace]
  /// Hexadecimal digits that tell two files apart.
  constexpr size_t kOfSum = 12;
  for (const TraceInfo* const each : traces) {
    if (are_of_one_model(*traces[0], *each)) continue;
    std::string expected = shape_of(*traces[0]), got = shape_of(*each);
    if (expected == got) {
      expected = fmt::format("SHA-256 {}...", traces[0]->attribute("model_sha256").substr(0, kOfSum));
      got = fmt::format("SHA-256 {}...", each->attribute("model_sha256").substr(0, kOfSum));
    }
    fail_usage({.where = each->path.string(),
                .expected = fmt::format("a trace of the same model as {} ({})", traces[0]->path.string(), expected),
                .got = "one of another (" + got + ")",
                .remedy = "tune each model by itself"});
  }
}

TuneResult untried(std::vector<TunedTrace> traces, const Prediction& prediction, bool calibrated,
                   const TuneBounds& bounds) {
  TuneResult result;
  result.traces = std::move(traces);
  for (const TunedTrace& each : result.traces) {
    result.full_cost += each.full_cost / static_cast<double>(result.traces.size());
    result.has_values = result.has_values && each.info.has_values;
  }
  result.calibrated = calibrated;
  result.bounds = bounds;
  result.prediction = prediction;
  if (!prediction.curve.exists()) {
    if (!result.bounds.max_output_error && result.has_values) result.bounds.max_output_error = kMaxOutputError;
    if (!result.bounds.max_lost_mass) result.bounds.max_lost_mass = kMaxLostMass;
  }
  return result;
}

TuneResult tune(std::span<Replayer* const> traces,  // [n_trace]
                const TuneOptions& options, const MeasureFn& measure, const ProgressFn& progress,
                const Cancel& cancel) {
  std::vector<const TraceInfo*> infos;
  for (const Replayer* const each : traces) infos.push_back(&each->info());
  check_same_model(infos);
  Sweep sweep(traces, make_prediction(poorest(infos), options.estimate, options.verified), options.calibrations,
              std::nullopt, progress, cancel);
  TuneResult result = start(sweep, options);
  check_measurable(result, measure != nullptr);
  sweep_grid(sweep, options, result);
  add_schedules(sweep, options, result);
  finish_candidates(result);
  recommend(result, options, measure, progress, cancel);
  return result;
}

bool calibration_is_off(const TuneResult& result) {
  const std::optional<Score>& measured = result.best().measured;
  if (!result.calibrated || result.other_machine || !measured || !(measured->full_ms > 0)) return false;
  const double ratio = result.full_cost / measured->full_ms;
  return !(ratio > 1 / 1.25 && ratio < 1.25);
}

std::vector<std::string> trace_names(const TuneResult& result) {
  std::vector<std::string> names;
  for (const TunedTrace& trace : result.traces) names.push_back(trace.info.path.filename().string());
  for (const HeldOutTrace& trace : result.held_out) names.push_back(trace.info.path.filename().string());
  if (std::set<std::string>(names.begin(), names.end()).size() == names.size()) return names;
  names.clear();
  for (const TunedTrace& trace : result.traces) names.push_back(trace.info.path.string());
  for (const HeldOutTrace& trace : result.held_out) names.push_back(trace.info.path.string());
  return names;
}

const TraceInfo& poorest(std::span<const TraceInfo* const> traces) {  // [n_trace]
  const auto without = std::find_if(traces.begin(), traces.end(), [](const TraceInfo* t) { return !t->has_values; });
  return **(without != traces.end() ? without : traces.begin());
}

}  // namespace reattend
