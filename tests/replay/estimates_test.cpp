// Estimates on a layer made by hand, whose values can be worked out, and on a replay, whose losses can be recounted.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/error.h"
#include "replay/estimates.h"
#include "tests/replay/hand_made.h"

namespace reattend {
namespace {

double value(const char* name, const ReplayedRun& run) {
  return find_estimate(name)->value(run);
}

/// Two steps, one KV head, two query heads.
LayerReplay by_hand() {
  LayerReplay layer;
  layer.recovered = {0.9F, 0.5F}, layer.oracle = {1.0F, 0.8F};
  layer.output_error = {0.1F, 0.2F, 0.3F, 1.0F};
  layer.losses.largest = {0.05F, 0.4F};
  layer.losses.middle = {0.1F, 0.3F}, layer.losses.of_middle = {0.4F, 0.4F};
  layer.losses.output_norm = {1, 2, 1, 0};
  return layer;
}

TEST(Estimates, AreWhatTheirDescriptionsSay) {
  const LayerReplay layer = by_hand();
  const ReplayedRun run = {.n_step = 2, .layers = {&layer, 1}};
  EXPECT_NEAR(value("lost_mass", run), 0.3, 1e-6);
  EXPECT_NEAR(value("lost_mass_rms", run), std::sqrt((0.01 + 0.25) / 2), 1e-6);
  EXPECT_NEAR(value("lost_middle", run), 0.2, 1e-6);
  EXPECT_NEAR(value("lost_middle_share", run), 0.5, 1e-6);
  EXPECT_NEAR(value("lost_normalised", run), (0.1 + 0.375) / 2, 1e-6);
  EXPECT_NEAR(value("largest_lost", run), 0.225, 1e-6);
  EXPECT_NEAR(value("largest_lost_p95", run), 0.4, 1e-6);
  EXPECT_NEAR(value("output_error_mean", run), 0.4, 1e-6);
  EXPECT_NEAR(value("output_error_p95", run), 1.0, 1e-6);
  EXPECT_NEAR(value("output_error_above", run), 0.25, 1e-6);
  // Squared errors of the steps: 0.01 * 1 + 0.04 * 4 = 0.17 and 0.09 * 1 + 1 * 0; the layer's mean square is (5 + 1)
  // / 2.
  EXPECT_NEAR(value("step_error_squares", run), (0.17 + 0.09) / 2 / 3, 1e-6);
  EXPECT_NEAR(value("layer_error_mean", run), (std::sqrt(0.17 / 3) + std::sqrt(0.09 / 3)) / 2, 1e-6);
  EXPECT_NEAR(value("step_error_p95", run), 0.17 / 3, 1e-6);
}

TEST(Estimates, ALayersPlaceDecidesItsWeight) {
  LayerReplay good = by_hand(), bad = by_hand();
  for (float& e : good.output_error) e = 0;
  const LayerReplay early[] = {bad, good}, late[] = {good, bad};
  EXPECT_GT(value("step_error_early", {2, early}), 0);
  EXPECT_EQ(value("step_error_early", {2, late}), 0);
  EXPECT_EQ(value("step_error_late", {2, early}), 0);
  EXPECT_GT(value("step_error_late", {2, late}), 0);
  EXPECT_EQ(value("step_error_squares", {2, early}), value("step_error_squares", {2, late}));
  EXPECT_EQ(value("layer_error_worst", {2, early}), value("layer_error_mean", {2, {&bad, 1}}));
}

class EstimatesOfReplay : public ::testing::Test {
 protected:
  static ReplayResult replay(const char* policy, int64_t budget, bool values = true, bool sets = false) {
    auto run =
        std::make_shared<HandMade>(HandMadeShape{.n_layer = 5, .n_prompt = 150, .n_step = 12, .values = values}, 7);
    ThreadPool pool(2);
    Replayer replayer(run, pool);
    Settings settings(policy);
    if (settings.policy() != "full") settings.set("K", budget);
    ReplayResult out = replayer.run({.settings = settings, .keep_sets = sets, .estimates = true}, {}, Cancel());
    for (LayerReplay& layer : out.layers) {
      for (int32_t t = 1; sets && t <= 12; ++t) {
        for (int32_t g = 0; g < 2; ++g) {
          const std::vector<float> row = replayer.row(layer.layer, g, t);
          const std::vector<int32_t> set = layer.sets[static_cast<size_t>(t - 1) * 2 + g].list();
          float largest = 0;
          double middle = 0;
          for (int32_t j = 0; j < static_cast<int32_t>(row.size()); ++j) {
            if (std::binary_search(set.begin(), set.end(), j)) continue;
            largest = std::max(largest, row[j]);
            if (j >= kSinkPositions && j < static_cast<int32_t>(row.size()) - kRecentPositions) middle += row[j];
          }
          EXPECT_NEAR(layer.losses.largest[static_cast<size_t>(t - 1) * 2 + g], largest, 1e-6);
          EXPECT_NEAR(layer.losses.middle[static_cast<size_t>(t - 1) * 2 + g], middle, 1e-5);
        }
      }
    }
    return out;
  }
};

TEST_F(EstimatesOfReplay, LossesAreThoseOfThePositionsLeftOut) {
  replay("recycled", 16, true, true);
  replay("streaming", 16, true, true);
}

TEST_F(EstimatesOfReplay, NothingIsLostByFullAttentionAndMoreByLess) {
  const ReplayResult full = replay("full", 0), much = replay("recycled", 64), little = replay("recycled", 8);
  const std::vector<double> none = evaluate_estimates({12, full.layers}), some = evaluate_estimates({12, much.layers}),
                            most = evaluate_estimates({12, little.layers});
  for (size_t i = 0; i < estimates().size(); ++i) {
    EXPECT_NEAR(none[i], 0, 1e-5) << estimates()[i].name;
    EXPECT_LE(some[i], most[i]) << estimates()[i].name;
    EXPECT_GT(most[i], 0) << estimates()[i].name;
  }
  EXPECT_TRUE(full.layers.front().sets.empty()) << "sets that nobody asked for are not kept";
}

TEST_F(EstimatesOfReplay, ALayersErrorsAddUpToTheStepsSquares) {
  const ReplayResult result = replay("recycled", 16);
  double sum = 0;
  for (const LayerReplay& layer : result.layers) sum += layer_error(layer, 12);
  EXPECT_GT(sum, 0);
  EXPECT_NEAR(sum, find_estimate("step_error_squares")->value({12, result.layers}), 1e-6 * sum);
}

TEST_F(EstimatesOfReplay, WithoutValuesThoseThatNeedThemAreNotThere) {
  const ReplayResult result = replay("recycled", 16, false);
  const std::vector<double> all = evaluate_estimates({12, result.layers});
  for (size_t i = 0; i < all.size(); ++i)
    EXPECT_EQ(std::isnan(all[i]), estimates()[i].needs_values) << estimates()[i].name;
}

TEST(EstimateTable, NamesAreUniqueAndAWrongOneIsAnswered) {
  std::set<std::string_view> names;
  for (const Estimate& each : estimates()) {
    EXPECT_TRUE(names.insert(each.name).second) << each.name;
    EXPECT_EQ(find_estimate(each.name), &each);
    EXPECT_FALSE(each.description.empty());
  }
  try {
    estimate_named("magic", "--estimate");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_NE(std::string(error.what()).find("lost_mass"), std::string::npos);
  }
}

}  // namespace
}  // namespace reattend
