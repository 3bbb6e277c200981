// Schedules by layer: no other choice is as cheap and spoils less, in a menu and in the tuner's sweep.
#include <gtest/gtest.h>

#include <random>

#include "base/error.h"
#include "policies/value_text.h"
#include "tests/replay/hand_made.h"
#include "tune/tune.h"

namespace reattend {
namespace {

using Menu = std::vector<std::vector<LayerNumbers>>;  // [n_item][n_layer]

LayerNumbers sum_of(const Menu& menu, const LayerPicks& picks) {
  LayerNumbers out;
  for (size_t l = 0; l < picks.size(); ++l) {
    const LayerNumbers& each = menu[static_cast<size_t>(picks[l])][l];
    out.cost += each.cost, out.error += each.error;
  }
  return out;
}

std::vector<LayerPicks> all_picks(size_t n_item, size_t n_layer) {
  std::vector<LayerPicks> all = {{}};
  for (size_t l = 0; l < n_layer; ++l) {
    std::vector<LayerPicks> longer;
    for (const LayerPicks& picks : all) {
      for (size_t i = 0; i < n_item; ++i) {
        longer.push_back(picks);
        longer.back().push_back(static_cast<int32_t>(i));
      }
    }
    all = std::move(longer);
  }
  return all;
}

TEST(Schedule, NoOtherChoiceIsAsCheapAndSpoilsLess) {
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    Menu menu(5, std::vector<LayerNumbers>(4));
    for (auto& item : menu) {
      // Some equal costs, some equal errors, some items that are dearer and worse.
      for (LayerNumbers& each : item) each = {double(random() % 12), double(random() % 12)};
    }
    const std::vector<LayerPicks> path = schedule_path(menu);
    LayerNumbers before;
    for (size_t i = 0; i < path.size(); ++i) {
      const LayerNumbers at = sum_of(menu, path[i]);
      if (i > 0) {
        EXPECT_GT(at.cost, before.cost);
        EXPECT_LT(at.error, before.error);
      }
      before = at;
      for (const LayerPicks& other : all_picks(5, 4)) {
        const LayerNumbers rival = sum_of(menu, other);
        EXPECT_FALSE(rival.cost <= at.cost && rival.error < at.error) << "round " << round << ", candidate " << i;
      }
    }
  }
}

TEST(Schedule, TheEndsAreTheCheapestAndTheMostCareful) {
  const Menu menu = {{{1, 9}, {1, 4}}, {{2, 5}, {2, 4}}, {{3, 1}, {9, 0}}};
  const std::vector<LayerPicks> path = schedule_path(menu);
  EXPECT_EQ(path.front(), (LayerPicks{0, 0}));
  EXPECT_EQ(path.back(), (LayerPicks{2, 2}));
  ASSERT_EQ(path.size(), 4U);
  EXPECT_EQ(path[2], (LayerPicks{2, 0})) << "the first layer saves four a piece, the second half a one";
}

TEST(Schedule, AMenuWithoutNumbersIsRefused) {
  EXPECT_THROW(schedule_path(Menu{}), Error);
  EXPECT_THROW(schedule_path(Menu{{{1, 2}}, {}}), Error);
}

TEST(Schedule, SpreadTakesBothEndsAndNothingTwice) {
  EXPECT_EQ(spread_over(3, 11, 3), (std::vector<size_t>{3, 7, 11}));
  EXPECT_EQ(spread_over(3, 4, 9), (std::vector<size_t>{3, 4}));
  EXPECT_EQ(spread_over(5, 5, 4), (std::vector<size_t>{5}));
}

TEST(Schedule, SettingsHoldEveryLayersItemAndFitOtherPrompts) {
  Settings careful("recycled"), cheap("recycled");
  careful.set("K", std::string("L/2")), careful.set("S", int64_t{4}), careful.set("pool", int64_t{15});
  cheap = careful;
  cheap.set("K", int64_t{64}), cheap.set("S", std::monostate{});
  const Settings menu[] = {careful, cheap};
  const Settings settings = by_layer(menu, {1, 0, 1}, {.n_layer = 3});
  EXPECT_EQ(settings.count("K", 0, 1000), 64);
  EXPECT_EQ(settings.count("K", 1, 1000), 500);
  EXPECT_EQ(settings.count("K", 1, 4000), 2000);
  EXPECT_EQ(settings.count_or_never("S", 0), std::nullopt);
  EXPECT_EQ(settings.count_or_never("S", 1), 4);
  EXPECT_EQ(settings.count("pool", 0, 1000), 15);
  EXPECT_EQ(by_layer(menu, {1, 1, 1}, {.n_layer = 3}), cheap)
      << "not a list of equal entries, which would be another setting";
}

TEST(Schedule, AFixedLayerStaysFixedBesideGatedOnes) {
  Settings fixed("recycled"), gated("recycled");
  fixed.set("S", int64_t{16}), gated.set("S", int64_t{4});
  gated.set("schedule", std::string("query")), gated.set("threshold", 0.8);
  const Settings menu[] = {fixed, gated};
  const Settings settings = by_layer(menu, {0, 1}, {.n_layer = 2});
  EXPECT_EQ(settings.choice("schedule"), "query");
  EXPECT_GT(settings.real("threshold", 0), 1.0) << "no cosine keeps a due step partial";
  EXPECT_EQ(settings.real("threshold", 1), 0.8);
}

/// Tuned on a hand-made run with at most `n` schedules.
class TunedSchedules : public ::testing::Test {
 protected:
  TunedSchedules() : pool_(2) {
    options_.grid.tried = {{"K", {std::string("L/2"), std::string("L/4"), std::string("L/8"), std::string("L/16")}},
                           {"S", {int64_t{2}, int64_t{8}, int64_t{24}}},
                           {"threshold", {0.5}}};
    options_.grid.gate_strides = {int64_t{4}};
    options_.bounds = {.max_output_error = 10, .max_lost_mass = 0.35};
    options_.estimate = "step_error_squares";
    options_.n_whole = 100;
  }
  TuneResult tuned(int n, bool values = true) {
    HandMade run({.n_layer = 4, .n_prompt = 160, .n_step = 24, .values = values}, 11);
    Replayer replayer(std::make_shared<HandMade>(std::move(run)), pool_);
    Replayer* const one[] = {&replayer};
    options_.n_schedule = n;
    if (!values) options_.estimate = "lost_mass", options_.bounds.max_output_error.reset();
    return tune(one, options_, {}, {}, Cancel());
  }
  static bool is_schedule(const Candidate& candidate) { return list_size(candidate.settings.get("K")).has_value(); }
  static double errors_of(const Candidate& candidate) {
    double sum = 0;
    for (const LayerNumbers& each : candidate.layers) sum += each.error;
    return sum;
  }

  ThreadPool pool_;
  TuneOptions options_;
};

TEST_F(TunedSchedules, NoSettingThatIsTheSameForAllLayersIsAsCheapAndSpoilsLess) {
  const TuneResult result = tuned(9);
  int n_schedule = 0, n_better = 0;
  for (const Candidate& candidate : result.candidates) {
    if (!is_schedule(candidate)) continue;
    ++n_schedule;
    ASSERT_TRUE(candidate.whole);
    EXPECT_NEAR(candidate.estimate, errors_of(candidate), 1e-6 * candidate.estimate)
        << "a layer's numbers do not depend on others'";
    for (const Candidate& other : result.candidates) {
      if (is_schedule(other)) continue;
      EXPECT_FALSE(other.cost <= candidate.cost && other.estimate < candidate.estimate * (1 - 1e-6));
      n_better += candidate.cost <= other.cost && candidate.estimate < 0.99 * other.estimate;
    }
  }
  EXPECT_GT(n_schedule, 3);
  EXPECT_LE(n_schedule, 9);
  EXPECT_GT(n_better, 0);
}

TEST_F(TunedSchedules, SomeLieWhereThePathEntersTheBounds) {
  // The even ones are the same for both; the others must lie between the dearest even one that breaks the bounds and
  // the cheapest that keeps them.
  const TuneResult even = tuned(1), more = tuned(9);
  std::vector<double> broken, kept;
  const auto sort_out = [&](const TuneResult& result) {
    broken.clear(), kept.clear();
    for (const Candidate& candidate : result.candidates) {
      if (is_schedule(candidate)) (candidate.within_bounds ? kept : broken).push_back(candidate.cost);
    }
  };
  sort_out(more);
  ASSERT_GE(broken.size(), 2U);
  ASSERT_GE(kept.size(), 2U);
  const double gap = *std::min_element(kept.begin(), kept.end()) - *std::max_element(broken.begin(), broken.end());
  const double whole = *std::max_element(kept.begin(), kept.end()) - *std::min_element(broken.begin(), broken.end());
  EXPECT_LT(gap, whole / 8) << "six even ones alone would leave a fifth of the way";
  EXPECT_GT(more.candidates.size(), even.candidates.size());
}

TEST_F(TunedSchedules, OneKindOfScheduleCanBeAskedFor) {
  const TuneGrid both = options_.grid;
  options_.grid.tried["schedule"] = {std::string("fixed")};
  options_.grid.tried.erase("threshold"), options_.grid.gate_strides.clear();
  for (const Candidate& candidate : tuned(9).candidates) EXPECT_EQ(candidate.settings.choice("schedule"), "fixed");
  options_.grid = both;
  options_.grid.tried["schedule"] = {std::string("query")};
  options_.grid.tried.erase("S");
  for (const Candidate& candidate : tuned(9).candidates) EXPECT_EQ(candidate.settings.choice("schedule"), "query");
}

TEST_F(TunedSchedules, NoneAreTriedWhereNobodyWantsThemOrTheTraceHasNoValues) {
  for (const Candidate& candidate : tuned(0).candidates) EXPECT_FALSE(is_schedule(candidate));
  for (const Candidate& candidate : tuned(9, false).candidates) EXPECT_FALSE(is_schedule(candidate));
}

}  // namespace
}  // namespace reattend
