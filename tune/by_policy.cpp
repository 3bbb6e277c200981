// Finds each policy's best setting among the candidates, and compares those that were measured.
#include "tune/by_policy.h"

#include <algorithm>
#include <tuple>

#include "tune/measure.h"

namespace reattend {
namespace {

/// In the order of PolicyBest: smaller is better.
std::tuple<bool, double> rank_of(const Candidate& candidate, const TuneResult& result) {
  return {!candidate.within_bounds, candidate.within_bounds ? candidate.cost : distance(candidate, result)};
}

}  // namespace

std::vector<PolicyBest> best_of_policies(const TuneResult& result) {
  std::vector<PolicyBest> out;
  for (const PolicyInfo* const each : result.policies) out.push_back({.policy = each});
  for (size_t i = 0; i < result.candidates.size(); ++i) {
    const Candidate& candidate = result.candidates[i];
    if (candidate.settings.is_full()) continue;
    const PolicyInfo* const policy = &candidate.settings.info();
    auto of = std::find_if(out.begin(), out.end(), [&](const PolicyBest& each) { return each.policy == policy; });
    if (of == out.end()) of = out.insert(out.end(), {.policy = policy});
    ++of->n_tried, of->n_whole += candidate.whole;
    if (!candidate.whole || candidate.cost >= result.full_cost) continue;
    of->n_within += candidate.within_bounds;
    const bool better =
        !of->candidate || rank_of(candidate, result) < rank_of(result.candidates[*of->candidate], result);
    if (better) of->candidate = i, of->within = candidate.within_bounds;
  }
  std::stable_sort(out.begin(), out.end(), [&](const PolicyBest& a, const PolicyBest& b) {
    if (!a.candidate || !b.candidate) return a.candidate.has_value() && !b.candidate;
    return rank_of(result.candidates[*a.candidate], result) < rank_of(result.candidates[*b.candidate], result);
  });
  return out;
}

std::vector<PolicyBest> measured_front(const std::vector<PolicyBest>& bests, const TuneResult& result) {
  std::vector<PolicyBest> measured, out;
  const auto score = [&](const PolicyBest& each) { return *result.candidates[*each.candidate].measured; };
  const auto time = [&](const PolicyBest& each) {
    return result.other_machine ? result.candidates[*each.candidate].cost : score(each).ms;
  };
  for (const PolicyBest& each : bests) {
    if (each.candidate && result.candidates[*each.candidate].measured) measured.push_back(each);
  }
  std::sort(measured.begin(), measured.end(),
            [&](const PolicyBest& a, const PolicyBest& b) { return time(a) < time(b); });
  while (!measured.empty()) {
    const double alike = time(measured.front()) * (1 + kTimeNoise);
    const auto end =
        std::find_if(measured.begin(), measured.end(), [&](const PolicyBest& each) { return time(each) > alike; });
    const auto best = std::min_element(
        measured.begin(), end, [&](const PolicyBest& a, const PolicyBest& b) { return score(a).kl < score(b).kl; });
    out.push_back(*best);
    std::erase_if(measured, [&](const PolicyBest& each) { return !(score(each).kl < score(out.back()).kl); });
  }
  return out;
}

}  // namespace reattend
