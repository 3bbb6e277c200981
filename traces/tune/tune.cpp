// The sweep, its front, and the choice.
#include "traces/tune/tune.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "traces/replay/estimates.h"
#include "traces/replay/summary.h"
#include "traces/tune/cost.h"

namespace reattend {
namespace {

/// a is at least as good as b everywhere and better somewhere.
bool dominates(const TunePoint& a, const TunePoint& b) {
  const bool no_worse = a.cost <= b.cost && a.estimate <= b.estimate && a.lost <= b.lost;
  return no_worse && (a.cost < b.cost || a.estimate < b.estimate || a.lost < b.lost);
}

/// How far a point is from the bounds: the largest ratio to one of them.
double excess(const TunePoint& point, const TuneBounds& bounds, bool calibrated) {
  double most = std::isnan(point.predicted_kl) ? 0 : point.predicted_kl / bounds.max_kl;
  if (bounds.max_output_error) most = std::max(most, point.output_error_p95 / *bounds.max_output_error);
  if (bounds.max_lost_mass) most = std::max(most, point.lost / *bounds.max_lost_mass);
  if (bounds.max_ms && calibrated) most = std::max(most, point.cost / *bounds.max_ms);
  return most;
}

bool passes(const Measured& m, const TuneBounds& bounds) {
  return m.kl <= bounds.max_kl && m.agreement >= bounds.min_agreement.value_or(0) &&
         m.ms_per_token <= bounds.max_ms.value_or(HUGE_VAL);
}

/// "KL <= 0.1, top-1 agreement >= 0.9": those that a measurement, or a replay, is held against.
std::string in_words(const TuneBounds& bounds, bool measured, bool predicts_kl) {
  std::vector<std::string> parts;
  if (measured || predicts_kl) parts.push_back(fmt::format("mean KL <= {}", bounds.max_kl));
  if (measured && bounds.min_agreement) parts.push_back(fmt::format("top-1 agreement >= {}", *bounds.min_agreement));
  if (!measured && bounds.max_output_error) {
    parts.push_back(fmt::format("95th percentile of output error <= {}", *bounds.max_output_error));
  }
  if (!measured && bounds.max_lost_mass) parts.push_back(fmt::format("lost mass <= {}", *bounds.max_lost_mass));
  if (bounds.max_ms) parts.push_back(fmt::format("ms/token <= {}", *bounds.max_ms));
  return fmt::format("{}", fmt::join(parts, ", "));
}

class Tuner {
 public:
  Tuner(Replayer& replayer, const TuneOptions& options, const ProgressFn& progress, const Cancel& cancel)
      : replayer_(replayer),
        info_(with_calibration(replayer.info(), options)),
        options_(options),
        progress_(progress),
        cancel_(cancel) {
    result_.bounds = options.bounds;
    result_.calibrated = is_calibrated(info_.calibration);
    result_.has_values = info_.has_values;
    result_.prediction = make_prediction(info_, options.estimate, options.verified);
    if (!result_.prediction.curve.exists()) {
      if (!result_.bounds.max_output_error) result_.bounds.max_output_error = kMaxOutputError;
      if (!result_.bounds.max_lost_mass) result_.bounds.max_lost_mass = kMaxLostMass;
    }
    result_.full_cost = cost(full_work(info_)) * (result_.calibrated ? result_.prediction.correction.full_ms : 1);
  }

  TuneResult run(const MeasureFn& measure) {
    std::vector<Settings> grid = make_grid(options_.grid, info_);
    std::vector<int32_t> all(static_cast<size_t>(info_.n_layer));
    std::iota(all.begin(), all.end(), 0);
    const std::vector<int32_t> some = screen_layers();
    if (some.size() < all.size() && static_cast<int>(grid.size()) > options_.n_whole) {
      sweep(grid, some, "sweep on some layers");
      grid = most_promising();
    }
    sweep(grid, all, "sweep");
    finish_points();
    choose(measure);
    return std::move(result_);
  }

 private:
  static TraceInfo with_calibration(TraceInfo info, const TuneOptions& options) {
    if (options.calibration) info.calibration = *options.calibration;
    return info;
  }
  double cost(const StepWork& work) const {
    return result_.calibrated ? predict_ms(info_, work)
                              : (attend_bytes(info_, work) + select_bytes(info_, work)) * 1e-6;
  }

  std::vector<int32_t> screen_layers() const {
    std::vector<int32_t> layers;
    const int64_t n = std::clamp(options_.n_screen_layer, 1, info_.n_layer);
    for (int64_t i = 0; i < n; ++i) layers.push_back(static_cast<int32_t>((2 * i + 1) * info_.n_layer / (2 * n)));
    return layers;
  }

  /// Evaluates settings on `layers` and replaces what earlier sweeps said about them. Layer by layer, so that each is
  /// prepared once however little memory there is.
  void sweep(const std::vector<Settings>& grid, const std::vector<int32_t>& layers, const std::string& what) {
    std::vector<std::vector<LayerReplay>> replayed(grid.size());
    const size_t total = grid.size() * layers.size();
    const bool losses = !find_estimate(result_.prediction.estimate)->needs_values;
    for (size_t l = 0; l < layers.size(); ++l) {
      for (size_t i = 0; i < grid.size(); ++i) {
        report(what, l * grid.size() + i, total, "replays");
        ReplayResult one = replayer_.run(
            {.settings = grid[i], .layers = {layers[l]}, .estimates = losses, .output_norm = !losses}, {}, cancel_);
        replayed[i].push_back(std::move(one.layers.front()));
      }
    }
    report(what, total, total, "replays");
    for (size_t i = 0; i < grid.size(); ++i) {
      TunePoint point = point_of(grid[i], replayed[i]);
      const auto same = [&](const TunePoint& other) { return other.settings == point.settings; };
      const auto old = std::find_if(result_.points.begin(), result_.points.end(), same);
      old != result_.points.end() ? * old = point : result_.points.emplace_back(point);
    }
  }

  TunePoint point_of(const Settings& settings, std::span<const LayerReplay> layers) const {
    const ReplaySummary summary = summarize(info_, layers);
    const double share = static_cast<double>(layers.size()) / info_.n_layer;
    StepWork work = work_of(info_, layers);
    for (double* part : {&work.run, &work.kept, &work.ranked, &work.rescored, &work.packed, &work.bounds}) {
      *part /= share;
    }
    TunePoint point = {.settings = settings, .whole = static_cast<int32_t>(layers.size()) == info_.n_layer};
    const Prediction& prediction = result_.prediction;
    point.cost = cost(work) * (result_.calibrated ? prediction.correction.ms : 1);
    point.estimate = find_estimate(prediction.estimate)->value({info_.n_step, layers});
    // Sums over some of the layers are good for an order, not for a KL.
    point.predicted_kl = point.whole ? prediction.kl(point.estimate) : std::numeric_limits<double>::quiet_NaN();
    point.speed_up = result_.full_cost / point.cost;
    point.output_error_mean = info_.has_values ? summary.output_error_mean : 0;
    point.output_error_p95 = info_.has_values ? summary.output_error_p95 : 0;
    point.lost = summary.lost, point.recovered = summary.recovered, point.normalised = summary.normalised;
    point.effective_stride = summary.effective_stride, point.positions = summary.positions;
    return point;
  }

  /// Front after front of the screened points, until there are enough. In the grid's order: largest budgets first, so
  /// that rankings are prepared at their greatest depth at once.
  std::vector<Settings> most_promising() const {
    std::vector<bool> taken(result_.points.size());
    for (size_t n_taken = 0; n_taken < std::min<size_t>(taken.size(), static_cast<size_t>(options_.n_whole));) {
      std::vector<size_t> front;
      for (size_t i = 0; i < taken.size(); ++i) {
        const auto beats = [&](size_t j) { return !taken[j] && dominates(result_.points[j], result_.points[i]); };
        bool beaten = taken[i];
        for (size_t j = 0; j < taken.size() && !beaten; ++j) beaten = beats(j);
        if (!beaten) front.push_back(i);
      }
      for (const size_t i : front) taken[i] = true;
      n_taken += front.size();
    }
    std::vector<Settings> settings;
    for (size_t i = 0; i < taken.size(); ++i) {
      if (taken[i]) settings.push_back(result_.points[i].settings);
    }
    return settings;
  }

  void finish_points() {
    std::vector<TunePoint>& points = result_.points;
    std::stable_sort(points.begin(), points.end(),
                     [](const TunePoint& a, const TunePoint& b) { return a.cost < b.cost; });
    for (TunePoint& point : points) {
      point.within_bounds = point.whole && excess_of(point) <= 1;
      const auto beats = [&](const TunePoint& other) { return other.whole && dominates(other, point); };
      point.on_front = point.whole && std::none_of(points.begin(), points.end(), beats);
    }
  }

  /// Indices of the points that may be chosen, in the order in which they are tried.
  std::vector<size_t> candidates(bool& relaxed) const {
    std::vector<size_t> within, all;
    for (size_t i = 0; i < result_.points.size(); ++i) {
      const TunePoint& point = result_.points[i];
      if (!point.on_front || point.cost >= result_.full_cost) continue;
      all.push_back(i);
      if (point.within_bounds) within.push_back(i);
    }
    relaxed = within.empty();
    if (!relaxed) return within;
    std::stable_sort(all.begin(), all.end(),
                     [&](size_t a, size_t b) { return excess_of(result_.points[a]) < excess_of(result_.points[b]); });
    return all;
  }

  void choose(const MeasureFn& measure) {
    bool relaxed = false;
    const std::vector<size_t> order = candidates(relaxed);
    if (order.empty()) {
      result_.points.push_back({.settings = Settings("full"),
                                .whole = true,
                                .cost = result_.full_cost,
                                .speed_up = 1,
                                .recovered = 1,
                                .normalised = 1,
                                .effective_stride = 1,
                                .positions = full_work(info_).run / info_.n_layer / info_.n_kv_head,
                                .within_bounds = true,
                                .on_front = true});
      result_.chosen = result_.points.size() - 1;
      result_.reason = "No setting of the sweep is faster than full attention on this trace, so full attention stays.";
      return;
    }
    result_.chosen = order.front();
    const std::string bounds = in_words(result_.bounds, false, result_.prediction.curve.exists());
    std::string reason =
        relaxed ? fmt::format(
                      "No setting that is faster than full attention is within the bounds ({}); those nearest to "
                      "them were taken, by the larger ratio to a bound ({:.2f} for the first).",
                      bounds, excess_of(result_.points[order.front()]))
                : fmt::format("{} of {} settings replayed on all layers are within the bounds ({}).", count_within(),
                              count_whole(), bounds);
    reason += measure   ? measured_choice(order, measure)
              : relaxed ? " The nearest is chosen."
                        : " The fastest of them is chosen; it was not measured.";
    result_.reason = reason + " " + uncertainty();
  }

  /// How far what was said may be off.
  std::string uncertainty() const {
    const TunePoint& best = result_.best();
    std::string text = result_.prediction.in_words();
    if (!std::isnan(best.predicted_kl)) {
      text += fmt::format(" Predicted KL of the choice: {:.4f}, two times in three within {:.4f} to {:.4f}.",
                          best.predicted_kl, best.predicted_kl / result_.prediction.curve.spread,
                          best.predicted_kl * result_.prediction.curve.spread);
    }
    return text;
  }
  double excess_of(const TunePoint& point) const { return excess(point, result_.bounds, result_.calibrated); }

  /// Measures candidates and sets `chosen`; returns the sentence that says why.
  std::string measured_choice(const std::vector<size_t>& order, const MeasureFn& measure) {
    std::vector<size_t> measured;
    const auto passes = [&](size_t i) { return reattend::passes(*result_.points[i].measured, result_.bounds); };
    const std::string wanted = in_words(result_.bounds, true, true);
    const auto try_one = [&](size_t i, size_t n) {
      report("measure " + result_.points[i].settings.summary(), measured.size(), n, "settings");
      cancel_.check();
      result_.points[i].measured = measure(result_.points[i].settings);
      measured.push_back(i);
      report("measure " + result_.points[i].settings.summary(), measured.size(), n, "settings");
    };
    const size_t n_first = std::min(order.size(), static_cast<size_t>(std::max(1, options_.n_measure)));
    for (size_t i = 0; i < n_first; ++i) try_one(order[i], n_first);
    // What is left is ordered towards more care: half of it is skipped each time, so that a few tries reach its end.
    size_t next = n_first;
    for (int more = 0;
         more < options_.n_more && next < order.size() && std::none_of(measured.begin(), measured.end(), passes);
         ++more) {
      next += (order.size() - next) / 2;
      try_one(order[next++], measured.size() + 1);
    }
    const auto faster = [&](size_t a, size_t b) {
      if (passes(a) != passes(b)) return passes(a);
      const Measured &x = *result_.points[a].measured, &y = *result_.points[b].measured;
      return passes(a) ? x.ms_per_token < y.ms_per_token : x.kl < y.kl;
    };
    result_.chosen = *std::min_element(measured.begin(), measured.end(), faster);
    const TunePoint& best = result_.best();
    if (passes(result_.chosen)) {
      return fmt::format(" Of the {} measured, this is the fastest with {} (its KL is {:.4f}).", measured.size(),
                         wanted, best.measured->kl);
    }
    return fmt::format(" None of the {} measured has {}; this one has the lowest KL ({:.4f}).", measured.size(), wanted,
                       best.measured->kl);
  }

  int64_t count_whole() const {
    return std::count_if(result_.points.begin(), result_.points.end(), [](const TunePoint& p) { return p.whole; });
  }
  int64_t count_within() const {
    return std::count_if(result_.points.begin(), result_.points.end(),
                         [](const TunePoint& p) { return p.within_bounds; });
  }

  void report(const std::string& what, size_t done, size_t total, const std::string& unit) const {
    if (progress_) progress_(what, static_cast<double>(done), static_cast<double>(total), unit);
  }

  Replayer& replayer_;
  const TraceInfo info_;
  const TuneOptions& options_;
  const ProgressFn& progress_;
  const Cancel& cancel_;
  TuneResult result_;
};

}  // namespace

void check_bounds(const TuneBounds& bounds) {
  const std::pair<const char*, std::optional<double>> options[] = {{"--max-output-error", bounds.max_output_error},
                                                                   {"--max-lost-mass", bounds.max_lost_mass},
                                                                   {"--max-kl", bounds.max_kl},
                                                                   {"--min-agreement", bounds.min_agreement},
                                                                   {"--max-ms", bounds.max_ms}};
  for (const auto& [option, value] : options) {
    if (!value || *value > 0) continue;  // false for nan
    fail_usage({.where = option, .expected = "a number above 0", .got = fmt::format("{}", *value), .remedy = {}});
  }
  if (bounds.min_agreement.value_or(1) > 1) {
    fail_usage({.where = "--min-agreement",
                .expected = "a share, at most 1",
                .got = fmt::format("{}", *bounds.min_agreement),
                .remedy = {}});
  }
}

TuneResult tune(Replayer& replayer, const TuneOptions& options, const MeasureFn& measure, const ProgressFn& progress,
                const Cancel& cancel) {
  return Tuner(replayer, options, progress, cancel).run(measure);
}

}  // namespace reattend
