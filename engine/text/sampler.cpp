// Greedy choice, and sampling from the softmax cut by top-k (Fan et al. 2018) and top-p (Holtzman et al. 2020).
#include "engine/text/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "base/error.h"

namespace reattend {
namespace {

/// Index of the largest, the first of equal ones; NaN never is.
int32_t best_of(std::span<const float> logits) {
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  const auto higher = [](float a, float b) { return b > a ? b : a; };  // a where b is NaN
  std::array<float, 16> tops;                                          // one chain of comparisons took 2 % of a step
  tops.fill(kNone);
  size_t at = 0;
  for (; at + tops.size() <= logits.size(); at += tops.size()) {
    for (size_t i = 0; i < tops.size(); ++i) tops[i] = higher(tops[i], logits[at + i]);
  }
  for (; at < logits.size(); ++at) tops[0] = higher(tops[0], logits[at]);
  const float most = std::accumulate(tops.begin(), tops.end(), kNone, higher);
  if (!std::isfinite(most)) {
    const bool all_nan = std::ranges::all_of(logits, [](float x) { return std::isnan(x); });
    fail({"logits", "a finite maximum",
          logits.empty() ? "no logits"
          : all_nan      ? "only NaN"
                         : std::to_string(most),
          "the model's weights may be damaged"});
  }
  return static_cast<int32_t>(std::ranges::find(logits, most) - logits.begin());
}

}  // namespace

Sampler::Sampler(const SamplerOptions& options) : options_(options), random_(options.seed) {
  if (!std::isfinite(options.temperature) || options.temperature < 0) {
    fail_usage(
        {"--temperature", "at least 0", std::to_string(options.temperature), "0 always takes the most likely token"});
  }
  if (options.top_k < 0) fail_usage({"--top-k", "at least 0", std::to_string(options.top_k), "0 switches it off"});
  if (!(options.top_p > 0 && options.top_p <= 1)) {
    fail_usage({"--top-p", "above 0, at most 1", std::to_string(options.top_p), "1 switches it off"});
  }
}

int32_t Sampler::sample(std::span<const float> logits) {
  const int32_t best = best_of(logits);
  if (options_.temperature <= 0) return best;

  /// Weight relative to the best token, in double so that small ones of a large vocabulary add up.
  struct Candidate {
    double weight;
    int32_t id;
  };
  // On equal weights the lower id counts as the heavier.
  const auto heavier = [](const Candidate& a, const Candidate& b) {
    return a.weight != b.weight ? a.weight > b.weight : a.id < b.id;
  };
  std::vector<Candidate> candidates;
  candidates.reserve(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) {
    if (std::isnan(logits[i])) continue;
    const double weight = std::exp((double{logits[i]} - double{logits[best]}) / double{options_.temperature});
    candidates.push_back({weight, static_cast<int32_t>(i)});
  }
  if (options_.top_k > 0 && static_cast<size_t>(options_.top_k) < candidates.size()) {
    std::partial_sort(candidates.begin(), candidates.begin() + options_.top_k, candidates.end(), heavier);
    candidates.resize(static_cast<size_t>(options_.top_k));
  }
  double total = 0;
  for (const Candidate& candidate : candidates) total += candidate.weight;
  if (options_.top_p < 1) {
    // A heap, because only what is kept needs its order: sorting 49,152 tokens takes longer than a step of attention.
    const auto lighter = [&](const Candidate& a, const Candidate& b) { return heavier(b, a); };
    const double enough = total * double{options_.top_p};
    std::make_heap(candidates.begin(), candidates.end(), lighter);
    auto end = candidates.end();
    total = 0;
    while (end != candidates.begin() && (end == candidates.end() || total < enough)) {
      std::pop_heap(candidates.begin(), end, lighter);
      total += (--end)->weight;
    }
    candidates.erase(candidates.begin(), end);
    std::reverse(candidates.begin(), candidates.end());
  }

  // 53 random bits as a number in [0, 1): the mapping of std::uniform_real_distribution differs among libraries.
  double rest = static_cast<double>(random_() >> 11) * 0x1p-53 * total;
  for (const Candidate& candidate : candidates) {
    rest -= candidate.weight;
    if (rest < 0) return candidate.id;
  }
  return candidates.back().id;  // rounding left a sliver at the end
}

}  // namespace reattend
