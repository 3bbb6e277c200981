// Greedy choice, and sampling from the softmax cut by top-k (Fan et al. 2018) and top-p (Holtzman et al. 2020).
#include "engine/text/sampler.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/error.h"

namespace reattend {
namespace {

/// Index of the largest; NaN never is.
int32_t best_of(std::span<const float> logits) {
  int64_t best = -1;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (!std::isnan(logits[i]) && (best < 0 || logits[i] > logits[best])) best = static_cast<int64_t>(i);
  }
  if (best < 0 || !std::isfinite(logits[best])) {
    fail({"logits", "a finite maximum",
          logits.empty() ? "no logits"
          : best < 0     ? "only NaN"
                         : std::to_string(logits[best]),
          "the model's weights may be damaged"});
  }
  return static_cast<int32_t>(best);
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
