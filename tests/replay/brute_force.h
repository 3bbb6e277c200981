// The definitions of docs/semantics.md by plain loops in double on a hand-made run: what the replay must find.
#pragma once
#include "tests/replay/brute_policies.h"

namespace reattend {

/// One KV head at one step.
struct BruteStep {
  bool full = false;
  double cos = std::numeric_limits<double>::quiet_NaN();
  std::vector<int32_t> set;  ///< sorted
  double recovered = 0, oracle = 0;
  double overlap = std::numeric_limits<double>::quiet_NaN(), jaccard = overlap;
  std::vector<double> error;  ///< [group]
};

class BruteForce : public BrutePolicies {
 public:
  using BrutePolicies::BrutePolicies;

  /// [T][n_kv_head], index t - 1
  std::vector<std::vector<BruteStep>> layer(int32_t layer, const Settings& settings) const {
    std::vector<std::vector<BruteStep>> out;
    const Choices all = choices(layer, settings);
    for (int32_t t = 1; t <= info_.n_step; ++t) {
      std::vector<BruteStep>& heads = out.emplace_back();
      for (int32_t g = 0; g < info_.n_kv_head; ++g) {
        heads.push_back(measure(layer, g, t, all[static_cast<size_t>(t - 1)][static_cast<size_t>(g)], settings));
      }
    }
    return out;
  }

 private:
  BruteStep measure(int32_t layer, int32_t g, int32_t t, const BruteChoice& choice, const Settings& settings) const {
    const int32_t group = info_.group();
    BruteStep step{.full = choice.full, .cos = choice.cos, .set = choice.set};
    if (!choice.top.empty()) {
      const std::set<int32_t> before(choice.kept.begin(), choice.kept.end());
      const auto both = static_cast<double>(
          std::count_if(choice.top.begin(), choice.top.end(), [&](int32_t i) { return before.contains(i); }));
      step.overlap = both / static_cast<double>(choice.top.size());
      step.jaccard = both / static_cast<double>(choice.top.size() + before.size() - static_cast<size_t>(both));
    }
    const Row mean = mean_row(layer, g, t);
    for (const int32_t i : step.set) step.recovered += mean[i];
    Row sorted = mean;
    std::sort(sorted.rbegin(), sorted.rend());
    step.oracle = std::accumulate(sorted.begin(), sorted.begin() + static_cast<int64_t>(step.set.size()), 0.0);
    const std::vector<int32_t> everything = range(0, info_.n_prompt + t);
    const bool by_rank = settings.policy().starts_with("streaming") && settings.choice("rotate") == "cache";
    for (int32_t h = g * group; info_.has_values && h < (g + 1) * group; ++h) {
      const Row mine = output(layer, h, t, step.set, by_rank), full = output(layer, h, t, everything, false);
      double difference = 0, norm = 0;
      for (size_t c = 0; c < full.size(); ++c) {
        difference += (mine[c] - full[c]) * (mine[c] - full[c]), norm += full[c] * full[c];
      }
      step.error.push_back(std::sqrt(difference / norm));
    }
    return step;
  }
};

}  // namespace reattend
