// The stages of tuning: the grid, a sweep on some layers, one of the best on all of them, schedules by layer, the
// front, the choice.
#include "tune/tune.h"

#include <fmt/format.h>
#include <algorithm>

#include "base/error.h"
#include "replay/estimates.h"
#include "tune/choice.h"
#include "tune/measure.h"
#include "tune/points.h"
#include "tune/refine.h"
#include "tune/sweep.h"

namespace reattend {
namespace {

/// Front after front of the screened points, until there are at least `n`. In the grid's order: largest budgets first,
/// so that rankings are prepared at their greatest depth at once.
std::vector<Settings> most_promising(const std::vector<TunePoint>& points, size_t n) {
  std::vector<bool> taken(points.size());
  for (size_t n_taken = 0; n_taken < std::min(taken.size(), n);) {
    std::vector<size_t> front;
    for (size_t i = 0; i < taken.size(); ++i) {
      bool beaten = taken[i];
      for (size_t j = 0; j < taken.size() && !beaten; ++j) beaten = !taken[j] && dominates(points[j], points[i]);
      if (!beaten) front.push_back(i);
    }
    for (const size_t i : front) taken[i] = true;
    n_taken += front.size();
  }
  std::vector<Settings> settings;
  for (size_t i = 0; i < taken.size(); ++i) {
    if (taken[i]) settings.push_back(points[i].settings);
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
    merge(result.points, sweep.evaluate(grid, some, "sweep on some layers"));
    grid = most_promising(result.points, static_cast<size_t>(options.n_whole));
  }
  merge(result.points, sweep.evaluate(grid, all, "sweep"));
}

/// What is known before the sweep.
TuneResult start(const Sweep& sweep, const TuneOptions& options) {
  TuneResult result;
  result.policy = &options.grid.base.info();
  result.traces = sweep.traces();
  result.full_cost = sweep.full_cost();
  result.calibrated = sweep.calibrated();
  result.has_values = std::all_of(result.traces.begin(), result.traces.end(),
                                  [](const TunedTrace& each) { return each.info.has_values; });
  result.other_machine = options.other_machine;
  result.bounds = options.bounds;
  result.prediction = sweep.prediction();
  if (!result.prediction.curve.exists()) {
    if (!result.bounds.max_output_error && result.has_values) result.bounds.max_output_error = kMaxOutputError;
    if (!result.bounds.max_lost_mass) result.bounds.max_lost_mass = kMaxLostMass;
  }
  return result;
}

/// The trace that says least: what it can be judged by, all can.
const TraceInfo& poorest(std::span<const TraceInfo* const> traces) {  // [n_trace]
  const auto without = std::find_if(traces.begin(), traces.end(), [](const TraceInfo* t) { return !t->has_values; });
  return **(without != traces.end() ? without : traces.begin());
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
              .remedy = "give --calibration or --on-paper, or record with one; with --model times are measured"});
}

/// Of a trace that is held out; `what` needs them.
void check_values(const TraceInfo& held, bool needed, const std::string& what) {
  if (held.has_values || !needed) return;
  fail_usage({.where = "--validate " + held.path.string(),
              .expected = fmt::format("a trace with values, which {} needs", what),
              .got = "one recorded without",
              .remedy = "record it without --no-values"});
}

}  // namespace

void check_same_model(std::span<const TraceInfo* const> traces) {  // [n_trace]
  const auto shape = [](const TraceInfo& info) {
    return fmt::format("{} layers, {} heads, {} KV heads of {}, {} words", info.n_layer, info.n_head, info.n_kv_head,
                       info.d_head, info.n_vocab);
  };
  const auto refuse = [&](const TraceInfo& other, const std::string& expected, const std::string& got) {
    fail_usage({.where = other.path.string(),
                .expected = fmt::format("a trace of the same model as {} ({})", traces[0]->path.string(), expected),
                .got = "one of another (" + got + ")",
                .remedy = "tune each model by itself"});
  };
  for (const TraceInfo* const each : traces) {
    if (shape(*each) != shape(*traces[0])) refuse(*each, shape(*traces[0]), shape(*each));
    const std::string first = traces[0]->attribute("model_sha256"), other = each->attribute("model_sha256");
    if (!first.empty() && !other.empty() && first != other) {
      refuse(*each, fmt::format("SHA-256 {}...", first.substr(0, 12)),
             fmt::format("SHA-256 {}...", other.substr(0, 12)));
    }
  }
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
  finish_points(result);
  choose(result, options, measure, progress, cancel);
  return result;
}

void check_held_out(const TraceInfo& held, std::span<const TraceInfo* const> tuned_on,  // [n_trace]
                    const TuneOptions& options) {
  const TraceInfo* const both[] = {tuned_on.front(), &held};
  check_same_model(both);
  const std::string estimate = make_prediction(poorest(tuned_on), options.estimate, {}).estimate;
  check_values(held, find_estimate(estimate)->needs_values, estimate);
  check_values(held, options.bounds.max_output_error.has_value(), "--max-output-error");
}

void hold_out(TuneResult& result, Replayer& trace, const std::optional<Calibration>& calibration,
              const std::function<Score(const Settings&)>& measure, const ProgressFn& progress, const Cancel& cancel) {
  const TraceInfo* const both[] = {&result.traces.front().info, &trace.info()};
  check_same_model(both);
  check_values(trace.info(), find_estimate(result.prediction.estimate)->needs_values, result.prediction.estimate);
  Replayer* const one[] = {&trace};
  const std::vector<Calibration> other = calibration ? std::vector{*calibration} : std::vector<Calibration>();
  Sweep sweep(one, result.prediction, other, result.calibrated, progress, cancel);
  const Settings& settings = result.best().settings;
  HeldOutTrace held;
  static_cast<TunedTrace&>(held) = sweep.traces().front();
  held.numbers = sweep.evaluate({&settings, 1}, sweep.all_layers(), "validate").front();
  if (measure) {
    const std::string name = name_of(result.best());
    held.numbers.measured = measure_in_rounds({&settings, 1}, {&name, 1}, !result.other_machine, measure,
                                              report_rounds(progress, "validate: measure"), cancel)
                                .front();
  }
  result.held_out.push_back(std::move(held));
}

}  // namespace reattend
