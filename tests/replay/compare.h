// A replay held against plain loops: everything that it measures of every step.
#pragma once
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "replay/replay.h"
#include "tests/replay/brute_force.h"

namespace reattend {

inline const ProgressFn kQuiet = [](const std::string&, double, double, const std::string&) {};

inline Settings settings_of(const std::string& policy, const std::vector<std::pair<std::string, Value>>& values) {
  Settings settings(policy);
  for (const auto& [key, value] : values) settings.set(key, value);
  return settings;
}

/// nan equals nan: the measure does not exist.
inline void expect_near(double a, double b, double bound, const std::string& what) {
  if (std::isnan(a) && std::isnan(b)) return;
  EXPECT_NEAR(a, b, bound) << what;
}

inline void compare(const std::shared_ptr<HandMade>& run, const Settings& settings, const ReplayResult& result) {
  BruteForce brute(*run);
  const int32_t n_kv = run->info().n_kv_head, group = run->info().group();
  for (const LayerReplay& layer : result.layers) {
    const auto expected = brute.layer(layer.layer, settings);
    for (int32_t t = 1; t <= run->info().n_step; ++t) {
      for (int32_t g = 0; g < n_kv; ++g) {
        const std::string where = settings.summary() + " layer " + std::to_string(layer.layer) + " t " +
                                  std::to_string(t) + " g " + std::to_string(g);
        const BruteStep& step = expected[t - 1][g];
        const size_t at = static_cast<size_t>(t - 1) * n_kv + g;
        ASSERT_EQ(layer.full[at], step.full ? 1 : 0) << where << " cos " << layer.cos[at] << " " << step.cos;
        ASSERT_EQ(layer.sets[at].list(), step.set) << where;
        ASSERT_EQ(layer.positions[at], static_cast<int32_t>(step.set.size())) << where;
        expect_near(layer.cos[at], step.cos, 1e-5, where);
        expect_near(layer.recovered[at], step.recovered, 1e-5, where);
        expect_near(layer.oracle[at], step.oracle, 1e-5, where);
        expect_near(layer.overlap[at], step.overlap, 1e-6, where);
        expect_near(layer.jaccard[at], step.jaccard, 1e-6, where);
        for (int32_t h = 0; h < group && !layer.output_error.empty(); ++h) {
          expect_near(layer.output_error[at * group + h], step.error[h], 2e-5, where);
        }
      }
    }
  }
}

inline ReplayResult replay(Replayer& replayer, const Settings& settings, bool error = true) {
  return replayer.run({.settings = settings, .layers = {}, .output_error = error, .keep_sets = true}, kQuiet, Cancel());
}

}  // namespace reattend
