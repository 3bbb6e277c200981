// Candidates in the order they are tried, the measuring, the reason.
#include "tune/choice.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include <fmt/format.h>

#include "tune/measure.h"
#include "tune/points.h"

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
      keep_full();
      return;
    }
    result_.chosen = order.front();
    std::string reason = prediction_in_words(order.front(), relaxed);
    if (measure_) {
      measure_candidates(order, relaxed);
      reason += measurement_in_words();
    } else {
      reason += relaxed ? " The nearest is chosen." : " The fastest of them is chosen; it was not measured.";
    }
    result_.reason = reason + " " + uncertainty();
  }

 private:
  bool several() const { return result_.traces.size() > 1; }
  const TunePoint& point(size_t i) const { return result_.points[i]; }
  bool passes(size_t i) const { return reattend::passes(point(i), result_); }
  /// What the fastest is known by.
  double time(size_t i) const { return result_.other_machine ? point(i).cost : point(i).measured->ms; }
  /// " on all 3 traces"; nothing where there is one.
  std::string everywhere() const {
    return several() ? fmt::format(" on all {} traces", result_.traces.size()) : std::string();
  }
  std::string name(size_t trace) const { return trace_names(result_)[trace]; }

  /// Nothing is faster.
  void keep_full() {
    std::vector<TunePoint>& points = result_.points;
    const auto is_full = [](const TunePoint& each) { return each.whole && each.settings.is_full(); };
    auto at = std::find_if(points.begin(), points.end(), is_full);
    if (at == points.end()) {
      const auto dearer = [&](const TunePoint& each) { return each.cost > result_.full_cost; };
      at = points.insert(std::find_if(points.begin(), points.end(), dearer), full_point(result_));
    }
    result_.chosen = static_cast<size_t>(at - points.begin());
    if (measure_) measure_all({&result_.chosen, 1});
    result_.reason =
        several() ? fmt::format(
                        "No setting of the sweep is faster than full attention on the mean of the {} traces, "
                        "so full attention stays.",
                        result_.traces.size())
                  : "No setting of the sweep is faster than full attention on this trace, so full attention stays.";
  }

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
    const auto excess_of = [&](size_t i) {
      const double most = hardest_predicted(point(i), result_).most;
      return std::isnan(most) ? HUGE_VAL : most;
    };
    std::stable_sort(all.begin(), all.end(), [&](size_t a, size_t b) { return excess_of(a) < excess_of(b); });
    return all;
  }

  std::string prediction_in_words(size_t first, bool relaxed) const {
    const std::string bounds = bounds_in_words(result_, false);
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

  /// Measures the first candidates, then more careful ones until one passes, and sets `chosen`.
  void measure_candidates(const std::vector<size_t>& order, bool relaxed) {
    const size_t n_first = std::min(order.size(), static_cast<size_t>(std::max(1, options_.n_measure)));
    measure_all(std::span(order).first(n_first));
    // Within the bounds slower means more careful: half of what is left is skipped each time, so that a few tries reach
    // its end. Beyond them the nearest were tried first, and what is left is worse.
    size_t next = relaxed ? order.size() : n_first;
    const auto any_passes = [&] {
      return std::any_of(measured_.begin(), measured_.end(), [&](size_t i) { return passes(i); });
    };
    for (int more = 0; more < options_.n_more && next < order.size() && !any_passes(); ++more) {
      next += (order.size() - next) / 2;
      measure_all(std::span(order).subspan(next++, 1));
    }
    result_.chosen = best_measured();
  }

  /// Of those that pass and are as fast as the fastest, as far as a clock can tell, the one with the lowest KL; where
  /// none passes the lowest KL of all.
  size_t best_measured() {
    std::vector<size_t> among;
    std::copy_if(measured_.begin(), measured_.end(), std::back_inserter(among), [&](size_t i) { return passes(i); });
    const auto faster = [&](size_t a, size_t b) { return time(a) < time(b); };
    const auto lower_kl = [&](size_t a, size_t b) { return point(a).measured->kl < point(b).measured->kl; };
    n_alike_ = 0;
    if (among.empty()) return *std::min_element(measured_.begin(), measured_.end(), lower_kl);
    const size_t fastest = *std::min_element(among.begin(), among.end(), faster);
    std::erase_if(among, [&](size_t i) { return time(i) > time(fastest) * (1 + kTimeNoise); });
    n_alike_ = among.size();
    return *std::min_element(among.begin(), among.end(), lower_kl);
  }

  /// Trace after trace, so that each needs its prompt in the engine once.
  void measure_all(std::span<const size_t> which) {  // [n] indices into the points
    const size_t n_trace = result_.traces.size();
    std::vector<Settings> settings;
    std::vector<std::string> names;
    for (const size_t i : which) settings.push_back(point(i).settings), names.push_back(name_of(point(i)));
    for (size_t trace = 0; trace < n_trace; ++trace) {
      const auto tell = [&](const Rounds::Next& next) {
        if (!progress_) return;
        progress_("measure " + next.name + (several() ? " on " + name(trace) : std::string()),
                  static_cast<double>(trace * next.total + next.done), static_cast<double>(n_trace * next.total),
                  "runs");
      };
      const std::vector<Score> found = measure_in_rounds(
          settings, names, !result_.other_machine, [&](const Settings& each) { return measure_(each, trace); }, tell,
          cancel_);
      for (size_t i = 0; i < which.size(); ++i) result_.points[which[i]].traces[trace].measured = found[i];
    }
    for (const size_t i : which) {
      TunePoint& tried = result_.points[i];
      tried.measured = over_traces(tried.traces, result_.full_cost).measured;
      measured_.push_back(i);
    }
  }

  std::string measurement_in_words() const {
    const std::string wanted = bounds_in_words(result_, true) + everywhere();
    const TunePoint& best = result_.best();
    const std::string kl = several() ? fmt::format("at most {:.4f}; hardest trace: {}", best.measured->kl,
                                                   name(hardest_measured(best, result_).trace))
                                     : fmt::format("{:.4f}", best.measured->kl);
    std::string text;
    if (n_alike_ == 0) {
      text = fmt::format(" None of the {} measured has {}; this one has the lowest KL ({}).", measured_.size(), wanted,
                         kl);
    } else if (n_alike_ == 1) {
      text =
          fmt::format(" Of the {} measured, this is the fastest with {} (its KL is {}).", measured_.size(), wanted, kl);
    } else {
      text = fmt::format(
          " Of the {} measured, {} with {} are within {:.0f} % of the fastest of them; this one has the lowest KL "
          "({}).",
          measured_.size(), n_alike_, wanted, 100 * kTimeNoise, kl);
    }
    if (result_.other_machine) {
      text += " Times are predicted for another machine than this one, so none was measured.";
    } else if (result_.bounds.max_ms && !result_.calibrated) {
      text += " Without a calibration the bound on time was held against measured times alone.";
    }
    return text;
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
  size_t n_alike_ = 0;            ///< of those, that pass and are as fast as the fastest
};

}  // namespace

void choose(TuneResult& result, const TuneOptions& options, const MeasureFn& measure, const ProgressFn& progress,
            const Cancel& cancel) {
  Choice(result, options, measure, progress, cancel).run();
}

}  // namespace reattend
