// The stages of tuning: the grid, a sweep on some layers, one of the best on all of them, schedules by layer, the
// front, the choice.
#include "traces/tune/tune.h"

#include <fmt/format.h>
#include <algorithm>

#include "base/error.h"
#include "traces/tune/choice.h"
#include "traces/tune/points.h"
#include "traces/tune/refine.h"
#include "traces/tune/sweep.h"

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
  std::vector<Settings> grid = make_grid(options.grid, result.traces.front().info);
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
  result.traces = sweep.traces();
  result.full_cost = sweep.full_cost();
  result.calibrated = sweep.calibrated();
  result.has_values = std::all_of(result.traces.begin(), result.traces.end(),
                                  [](const TunedTrace& each) { return each.info.has_values; });
  result.bounds = options.bounds;
  result.prediction = sweep.prediction();
  if (!result.prediction.curve.exists()) {
    if (!result.bounds.max_output_error) result.bounds.max_output_error = kMaxOutputError;
    if (!result.bounds.max_lost_mass) result.bounds.max_lost_mass = kMaxLostMass;
  }
  return result;
}

/// The trace that says least: what it can be judged by, all can.
const TraceInfo& poorest(std::span<const TraceInfo* const> traces) {
  const auto without = std::find_if(traces.begin(), traces.end(), [](const TraceInfo* t) { return !t->has_values; });
  return **(without != traces.end() ? without : traces.begin());
}

std::string model_of(const TraceInfo& info) {
  const auto sha = info.attributes.find("model_sha256");
  return sha == info.attributes.end() ? std::string() : sha->second;
}

}  // namespace

void check_same_model(std::span<const TraceInfo* const> traces) {
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
    const std::string first = model_of(*traces[0]), other = model_of(*each);
    if (!first.empty() && !other.empty() && first != other) {
      refuse(*each, fmt::format("SHA-256 {}...", first.substr(0, 12)),
             fmt::format("SHA-256 {}...", other.substr(0, 12)));
    }
  }
}

TuneResult tune(std::span<Replayer* const> traces, const TuneOptions& options, const MeasureFn& measure,
                const ProgressFn& progress, const Cancel& cancel) {
  std::vector<const TraceInfo*> infos;
  for (const Replayer* const each : traces) infos.push_back(&each->info());
  check_same_model(infos);
  Sweep sweep(traces, make_prediction(poorest(infos), options.estimate, options.verified), options.calibration,
              progress, cancel);
  TuneResult result = start(sweep, options);
  sweep_grid(sweep, options, result);
  add_schedules(sweep, options, result);
  finish_points(result);
  choose(result, options, measure, progress, cancel);
  return result;
}

void hold_out(TuneResult& result, Replayer& trace, const TuneOptions& options,
              const std::function<Measured(const Settings&)>& measure, const ProgressFn& progress,
              const Cancel& cancel) {
  const TraceInfo* const both[] = {&result.traces.front().info, &trace.info()};
  check_same_model(both);
  Replayer* const one[] = {&trace};
  Sweep sweep(one, result.prediction, options.calibration, progress, cancel);
  const Settings& settings = result.best().settings;
  HeldOutTrace held;
  static_cast<TunedTrace&>(held) = sweep.traces().front();
  held.numbers = sweep.evaluate({&settings, 1}, sweep.all_layers(), "validate").front();
  if (measure) held.numbers.measured = measure(settings);
  result.held_out.push_back(std::move(held));
}

}  // namespace reattend
