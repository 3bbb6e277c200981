// Tries candidates in the order of their promise, measures them, and takes one.
#include "tune/recommend.h"

#include <algorithm>
#include <iterator>

#include "tune/by_policy.h"
#include "tune/tune.h"

namespace reattend {
namespace {

class Recommender {
 public:
  Recommender(TuneResult& result, const TuneOptions& options, const MeasureFn& measure, const ProgressFn& progress,
              const Cancel& cancel)
      : result_(result), options_(options), measure_(measure), progress_(progress), cancel_(cancel) {}

  void run() {
    Reason& reason = result_.reason;
    const std::vector<size_t> order = candidates(reason.beyond_bounds);
    if (order.empty()) {
      keep_full();
    } else {
      result_.chosen = order.front();
      if (reason.beyond_bounds) reason.nearest = hardest(candidate(order.front()), result_, Evidence::predicted);
      if (measure_) measure_candidates(order);
    }
    reason.n_measured = measured_.size();
  }

 private:
  bool several() const { return result_.traces.size() > 1; }
  const Candidate& candidate(size_t i) const { return result_.candidates[i]; }
  bool passes(size_t i) const { return reattend::passes(candidate(i), result_, Evidence::measured); }
  /// What the fastest is known by.
  double time(size_t i) const { return result_.other_machine ? candidate(i).cost : candidate(i).measured->ms; }
  std::string name(size_t trace) const { return trace_names(result_)[trace]; }

  /// Nothing is faster.
  void keep_full() {
    result_.reason = {.rule = Reason::Rule::full_attention};
    std::vector<Candidate>& candidates = result_.candidates;
    const auto is_full = [](const Candidate& each) { return each.whole && each.settings.is_full(); };
    auto at = std::find_if(candidates.begin(), candidates.end(), is_full);
    if (at == candidates.end()) {
      const auto dearer = [&](const Candidate& each) { return each.cost > result_.full_cost; };
      at = candidates.insert(std::find_if(candidates.begin(), candidates.end(), dearer), full_candidate(result_));
    }
    result_.chosen = static_cast<size_t>(at - candidates.begin());
    if (measure_) measure_all({&result_.chosen, 1});
  }

  /// Indices of those that may be chosen, in the order in which they are tried.
  std::vector<size_t> candidates(bool& beyond_bounds) const {
    std::vector<size_t> within, all;
    for (size_t i = 0; i < result_.candidates.size(); ++i) {
      if (!candidate(i).on_front || candidate(i).cost >= result_.full_cost) continue;
      all.push_back(i);
      if (candidate(i).within_bounds) within.push_back(i);
    }
    beyond_bounds = within.empty();
    if (!beyond_bounds) return within;
    const auto from_bounds = [&](size_t i) { return distance(candidate(i), result_); };
    std::stable_sort(all.begin(), all.end(), [&](size_t a, size_t b) { return from_bounds(a) < from_bounds(b); });
    return all;
  }

  /// What is measured first. Of several policies the best of each: neighbours on the front are mostly one policy's, and
  /// how far the prediction is off differs between policies.
  std::vector<size_t> first_measured(const std::vector<size_t>& order) const {
    std::vector<size_t> first;
    if (result_.policies.size() > 1) {
      for (const PolicyBest& each : best_of_policies(result_)) {
        if (each.candidate && (each.within || result_.reason.beyond_bounds)) first.push_back(*each.candidate);
      }
    }
    const auto n = options_.n_measure ? static_cast<size_t>(std::max(1, *options_.n_measure))
                                      : std::max(first.size(), static_cast<size_t>(kMeasureOfOne));
    first.resize(std::min(first.size(), n));
    for (const size_t i : without(order, first)) {
      if (first.size() < n) first.push_back(i);
    }
    return first;
  }
  static std::vector<size_t> without(const std::vector<size_t>& order, const std::vector<size_t>& taken) {
    std::vector<size_t> out;
    std::copy_if(order.begin(), order.end(), std::back_inserter(out),
                 [&](size_t i) { return std::find(taken.begin(), taken.end(), i) == taken.end(); });
    return out;
  }

  /// Measures the first candidates, then more careful ones until one passes, and sets `chosen`.
  void measure_candidates(const std::vector<size_t>& order) {
    measure_all(first_measured(order));
    // Within the bounds slower means more careful: half of what is left is skipped each time, so that a few tries reach
    // its end. Beyond them the nearest were tried first, and what is left is worse.
    const std::vector<size_t> left = without(order, measured_);
    size_t next = result_.reason.beyond_bounds ? left.size() : 0;
    const auto any_passes = [&] {
      return std::any_of(measured_.begin(), measured_.end(), [&](size_t i) { return passes(i); });
    };
    for (int more = 0; more < options_.n_more && next < left.size() && !any_passes(); ++more) {
      next += (left.size() - next) / 2;
      measure_all(std::span(left).subspan(next++, 1));
    }
    result_.chosen = best_measured();
  }

  /// Of those that pass and are as fast as the fastest, as far as a clock can tell, the one with the lowest KL; where
  /// none passes the lowest KL of all.
  size_t best_measured() {
    std::vector<size_t> among;
    std::copy_if(measured_.begin(), measured_.end(), std::back_inserter(among), [&](size_t i) { return passes(i); });
    const auto faster = [&](size_t a, size_t b) { return time(a) < time(b); };
    const auto lower_kl = [&](size_t a, size_t b) { return candidate(a).measured->kl < candidate(b).measured->kl; };
    Reason& reason = result_.reason;
    reason.rule = Reason::Rule::lowest_kl;
    if (among.empty()) return *std::min_element(measured_.begin(), measured_.end(), lower_kl);
    const size_t fastest = *std::min_element(among.begin(), among.end(), faster);
    std::erase_if(among, [&](size_t i) { return time(i) > time(fastest) * (1 + kTimeNoise); });
    reason.n_alike = among.size();
    reason.rule = reason.n_alike == 1 ? Reason::Rule::fastest : Reason::Rule::lowest_kl_alike;
    return *std::min_element(among.begin(), among.end(), lower_kl);
  }

  /// Trace after trace, so that each needs its prompt in the engine once.
  void measure_all(std::span<const size_t> which) {  // [n] indices into the candidates
    const size_t n_trace = result_.traces.size();
    std::vector<Settings> settings;
    std::vector<std::string> names;
    for (const size_t i : which) settings.push_back(candidate(i).settings), names.push_back(name_of(candidate(i)));
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
      for (size_t i = 0; i < which.size(); ++i) result_.candidates[which[i]].traces[trace].measured = found[i];
    }
    for (const size_t i : which) {
      Candidate& tried = result_.candidates[i];
      tried.measured = over_traces(tried.traces, result_.full_cost).measured;
      measured_.push_back(i);
    }
  }

  TuneResult& result_;
  const TuneOptions& options_;
  const MeasureFn& measure_;
  const ProgressFn& progress_;
  const Cancel& cancel_;
  std::vector<size_t> measured_;  ///< indices into result_.candidates, in order
};

}  // namespace

void recommend(TuneResult& result, const TuneOptions& options, const MeasureFn& measure, const ProgressFn& progress,
               const Cancel& cancel) {
  Recommender(result, options, measure, progress, cancel).run();
}

}  // namespace reattend
