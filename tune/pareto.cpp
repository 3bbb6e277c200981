// Compares candidates with each other, and marks those that no other beats.
#include "tune/pareto.h"

#include <algorithm>

#include "policies/layer_schedule.h"
#include "tune/bounds.h"
#include "tune/tune.h"

namespace reattend {

bool dominates(const Metrics& a, const Metrics& b) {
  const bool no_worse = a.cost <= b.cost && a.estimate <= b.estimate && a.lost <= b.lost;
  return no_worse && (a.cost < b.cost || a.estimate < b.estimate || a.lost < b.lost);
}

std::vector<bool> most_promising(const std::vector<Candidate>& candidates, size_t n,
                                 const std::function<bool(const Candidate&)>& of) {
  std::vector<size_t> left;
  for (size_t i = 0; i < candidates.size(); ++i) {
    if (!of || of(candidates[i])) left.push_back(i);
  }
  std::vector<bool> taken(candidates.size());
  for (size_t n_taken = 0; n_taken < n && !left.empty();) {
    std::vector<size_t> front, beaten;
    for (const size_t i : left) {
      const bool beats =
          std::any_of(left.begin(), left.end(), [&](size_t j) { return dominates(candidates[j], candidates[i]); });
      (beats ? beaten : front).push_back(i);
    }
    for (const size_t i : front) taken[i] = true;
    n_taken += front.size();
    left = std::move(beaten);
  }
  return taken;
}

void finish_candidates(TuneResult& result) {
  std::vector<Candidate>& candidates = result.candidates;
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) { return a.cost < b.cost; });
  int n_schedule = 0;
  for (Candidate& candidate : candidates) {
    if (LayerSchedule(candidate.settings).by_layer()) candidate.schedule = ++n_schedule;
    candidate.within_bounds = candidate.whole && passes(candidate, result, Evidence::predicted);
    const auto beats = [&](const Candidate& other) { return other.whole && dominates(other, candidate); };
    candidate.on_front = candidate.whole && std::none_of(candidates.begin(), candidates.end(), beats);
  }
}

}  // namespace reattend
