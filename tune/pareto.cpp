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

std::vector<Settings> most_promising(const std::vector<Candidate>& candidates, size_t n) {
  std::vector<bool> taken(candidates.size());
  for (size_t n_taken = 0; n_taken < std::min(taken.size(), n);) {
    std::vector<size_t> front;
    for (size_t i = 0; i < taken.size(); ++i) {
      bool beaten = taken[i];
      for (size_t j = 0; j < taken.size() && !beaten; ++j)
        beaten = !taken[j] && dominates(candidates[j], candidates[i]);
      if (!beaten) front.push_back(i);
    }
    for (const size_t i : front) taken[i] = true;
    n_taken += front.size();
  }
  std::vector<Settings> settings;
  for (size_t i = 0; i < taken.size(); ++i) {
    if (taken[i]) settings.push_back(candidates[i].settings);
  }
  return settings;
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
