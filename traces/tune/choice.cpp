// Candidates in the order they are tried, the measuring, the reason.
#include "traces/tune/choice.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "traces/tune/points.h"

namespace reattend {
namespace {

class Choice {
 public:
  Choice(TuneResult& result, const TuneOptions& options, const MeasureFn& measure, const ProgressFn& progress,
         const Cancel& cancel)
      : result_(result), options_(options), measure_(measure), progress_(progress), cancel_(cancel) {}

  void run() {
    bool relaxed = false;
    const std::vector<size_t> order = candidates(relaxed);
    if (order.empty()) {
      result_.points.push_back(full_point(result_));
      result_.chosen = result_.points.size() - 1;
      result_.reason =
          several() ? fmt::format(
                          "No setting of the sweep is faster than full attention on the mean of the {} traces, "
                          "so full attention stays.",
                          result_.traces.size())
                    : "No setting of the sweep is faster than full attention on this trace, so full attention stays.";
      return;
    }
    result_.chosen = order.front();
    std::string reason = prediction_in_words(order.front(), relaxed);
    if (measure_) {
      measure_candidates(order);
      reason += measurement_in_words();
    } else {
      reason += relaxed ? " The nearest is chosen." : " The fastest of them is chosen; it was not measured.";
    }
    result_.reason = reason + " " + uncertainty();
  }

 private:
  bool several() const { return result_.traces.size() > 1; }
  const TunePoint& point(size_t i) const { return result_.points[i]; }
  bool passes(size_t i) const { return reattend::passes(point(i), result_.bounds); }
  /// " on all 3 traces"; nothing where there is one.
  std::string everywhere() const {
    return several() ? fmt::format(" on all {} traces", result_.traces.size()) : std::string();
  }
  std::string name(size_t trace) const { return trace_names(result_)[trace]; }

  /// Indices of the points that may be chosen, in the order in which they are tried.
  std::vector<size_t> candidates(bool& relaxed) const {
    std::vector<size_t> within, all;
    for (size_t i = 0; i < result_.points.size(); ++i) {
      if (!point(i).on_front || point(i).cost >= result_.full_cost) continue;
      all.push_back(i);
      if (point(i).within_bounds) within.push_back(i);
    }
    relaxed = within.empty();
    if (!relaxed) return within;
    const auto excess_of = [&](size_t i) { return hardest_predicted(point(i), result_).most; };
    std::stable_sort(all.begin(), all.end(), [&](size_t a, size_t b) { return excess_of(a) < excess_of(b); });
    return all;
  }

  std::string prediction_in_words(size_t first, bool relaxed) const {
    const std::string bounds = in_words(result_.bounds, false, result_.prediction.curve.exists());
    if (!relaxed) {
      const auto count = [&](bool TunePoint::*flag) {
        return std::count_if(result_.points.begin(), result_.points.end(),
                             [flag](const TunePoint& p) { return p.*flag; });
      };
      return fmt::format("{} of {} settings replayed on all layers are within the bounds ({}){}.",
                         count(&TunePoint::within_bounds), count(&TunePoint::whole), bounds, everywhere());
    }
    const Hardest nearest = hardest_predicted(point(first), result_);
    return fmt::format(
        "No setting that is faster than full attention is within the bounds ({}){}; those nearest to them were taken, "
        "by the larger ratio to a bound ({:.2f} for the first{}).",
        bounds, everywhere(), nearest.most, several() ? ", on " + name(nearest.trace) : std::string());
  }

  /// Measures the fastest candidates, then slower ones until one passes, and sets `chosen`.
  void measure_candidates(const std::vector<size_t>& order) {
    const size_t n_first = std::min(order.size(), static_cast<size_t>(std::max(1, options_.n_measure)));
    measure_all(std::span(order).first(n_first));
    // What is left is ordered towards more care: half of it is skipped each time, so that a few tries reach its end.
    size_t next = n_first;
    const auto any_passes = [&] {
      return std::any_of(measured_.begin(), measured_.end(), [&](size_t i) { return passes(i); });
    };
    for (int more = 0; more < options_.n_more && next < order.size() && !any_passes(); ++more) {
      next += (order.size() - next) / 2;
      measure_all(std::span(order).subspan(next++, 1));
    }
    const auto better = [&](size_t a, size_t b) {
      if (passes(a) != passes(b)) return passes(a);
      const Measured &x = *point(a).measured, &y = *point(b).measured;
      return passes(a) ? x.ms_per_token < y.ms_per_token : x.kl < y.kl;
    };
    result_.chosen = *std::min_element(measured_.begin(), measured_.end(), better);
  }

  /// Trace after trace, so that each needs its prompt in the engine once; the settings take turns.
  void measure_all(std::span<const size_t> which) {
    const size_t n_trace = result_.traces.size(), n = which.size() * n_trace * kMeasureRounds;
    for (size_t i = 0; i < n; ++i) {
      const size_t trace = i / (which.size() * kMeasureRounds);
      TunePoint& tried = result_.points[which[i % which.size()]];
      const std::string where = several() ? " on " + name(trace) : std::string();
      if (progress_) {
        progress_("measure " + tried.settings.summary() + where, static_cast<double>(i), static_cast<double>(n),
                  "runs");
      }
      cancel_.check();
      tried.traces[trace].measured = measure_(tried.settings, trace);
    }
    if (progress_) progress_("measure", static_cast<double>(n), static_cast<double>(n), "runs");
    for (const size_t i : which) {
      TunePoint& tried = result_.points[i];
      tried.measured = over_traces(tried.traces, result_.full_cost).measured;
      measured_.push_back(i);
    }
  }

  std::string measurement_in_words() const {
    const std::string wanted = in_words(result_.bounds, true, true);
    const TunePoint& best = result_.best();
    const std::string kl = several() ? fmt::format("at most {:.4f}; hardest trace: {}", best.measured->kl,
                                                   name(hardest_measured(best, result_).trace))
                                     : fmt::format("{:.4f}", best.measured->kl);
    if (passes(result_.chosen)) {
      return fmt::format(" Of the {} measured, this is the fastest with {}{} (its KL is {}).", measured_.size(), wanted,
                         everywhere(), kl);
    }
    return fmt::format(" None of the {} measured has {}{}; this one has the lowest KL ({}).", measured_.size(), wanted,
                       everywhere(), kl);
  }

  /// How far what was said may be off.
  std::string uncertainty() const {
    const TunePoint& best = result_.best();
    std::string text = result_.prediction.in_words();
    if (!std::isnan(best.predicted_kl)) {
      const double low = best.predicted_kl / result_.prediction.curve.spread,
                   high = best.predicted_kl * result_.prediction.curve.spread;
      const std::string where =
          several() ? " on " + name(hardest(best, [](const PointNumbers& p) { return p.predicted_kl; }).trace) +
                          ", the hardest trace"
                    : std::string();
      text += fmt::format(" Predicted KL of the choice{}: {:.4f}, two times in three within {:.4f} to {:.4f}.", where,
                          best.predicted_kl, low, high);
    }
    return text;
  }

  TuneResult& result_;
  const TuneOptions& options_;
  const MeasureFn& measure_;
  const ProgressFn& progress_;
  const Cancel& cancel_;
  std::vector<size_t> measured_;  ///< indices into result_.points, in order
};

}  // namespace

void choose(TuneResult& result, const TuneOptions& options, const MeasureFn& measure, const ProgressFn& progress,
            const Cancel& cancel) {
  Choice(result, options, measure, progress, cancel).run();
}

}  // namespace reattend
