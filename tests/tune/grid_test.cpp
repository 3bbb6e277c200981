// What a sweep tries of each policy, and that the tuner's numbers of it are the replay's.
#include "tune/grid.h"

#include <gtest/gtest.h>

#include <map>

#include "policies/layer_schedule.h"
#include "policies/policy.h"
#include "tests/replay/tuned.h"

namespace reattend {
namespace {

TraceInfo trace_of(int32_t n_prompt) {
  TraceInfo info;
  info.n_layer = 4, info.n_head = 4, info.n_kv_head = 2, info.d_head = 8;
  info.n_prompt = n_prompt, info.n_step = 16, info.has_prompt_row_sums = true;
  return info;
}

/// The grid for traces of prompts of these lengths.
GridSettings grid_of(const TuneGrid& grid, std::initializer_list<int32_t> lengths) {
  std::vector<TraceInfo> infos;
  for (const int32_t each : lengths) infos.push_back(trace_of(each));
  std::vector<const TraceInfo*> traces;
  for (const TraceInfo& each : infos) traces.push_back(&each);
  return make_grid(grid, traces);
}

size_t n_tried(std::string_view policy) {
  return grid_of({.bases = {Settings(policy)}}, {4096}).settings.size();
}

TEST(Grid, EveryPolicyIsSweptAlongWhatItTakes) {
  EXPECT_EQ(n_tried("recycled"), 5U * (6 + 3 * 5));  // K, S, and S with thresholds
  EXPECT_EQ(n_tried("streaming_refresh"), 5U * 6);
  EXPECT_EQ(n_tried("tokenselect"), 5U * 5);  // K, threshold
  for (const char* const policy : {"oracle", "streaming", "h2o", "snapkv", "pyramidkv", "tova", "quest"}) {
    EXPECT_EQ(n_tried(policy), 5U) << policy;
  }
  const std::string line = refusal([] { n_tried("full"); });
  EXPECT_NE(line.find("a policy that has something to sweep (recycled, oracle"), std::string::npos) << line;
}

TEST(Grid, AThresholdThatDecidesNothingDoesNotVary) {
  Settings anew("tokenselect");
  anew.set("selection_cache", std::string("off"));
  EXPECT_EQ(grid_of({.bases = {anew}}, {4096}).settings.size(), 5U);
  for (const Settings& each : grid_of({}, {4096}).settings) {
    if (each.choice("schedule") == "fixed") {
      EXPECT_FALSE(each.is_set("threshold"));
    }
  }
}

TEST(Grid, AFloorVariesWithTheWeightThatItHoldsFor) {
  TuneGrid grid = {.bases = {Settings("sketch")}};
  grid.tried = {{"K", {std::string("L/8")}},
                {"channels", {std::string("auto")}},
                {"min_weight", {0.0, 0.001}},
                {"min_k", {int64_t{16}, int64_t{64}}}};
  std::vector<std::string> names;
  for (const Settings& each : grid_of(grid, {4096}).settings) names.push_back(each.summary());
  EXPECT_EQ(names, (std::vector<std::string>{"sketch K=L/8", "sketch K=L/8 min_weight=0.001 min_k=16",
                                             "sketch K=L/8 min_weight=0.001 min_k=64"}));
}

TEST(Grid, ListsOfAnyParameterAreTaken) {
  TuneGrid grid = {.bases = {Settings("snapkv")}};
  grid.tried = {{"window", {int64_t{16}, int64_t{64}}}, {"reduce", {std::string("mean")}}};
  const std::vector<Settings> all = grid_of(grid, {4096}).settings;
  EXPECT_EQ(all.size(), 10U);
  for (const Settings& each : all) EXPECT_EQ(each.choice("reduce"), "mean");
  for (size_t i = 1; i < all.size(); ++i) EXPECT_GE(all[i - 1].count("K", 0, 4096), all[i].count("K", 0, 4096));
}

TEST(Grid, ListsThatNothingUsesAreRefused) {
  const auto line = [](const char* policy, const ValueLists& tried, std::vector<Value> gate_strides = {}) {
    return refusal([&] { grid_of({{Settings(policy)}, tried, std::move(gate_strides), {}}, {4096}); });
  };
  EXPECT_NE(line("h2o", {{"S", {int64_t{4}}}}).find("--strides: expected a policy that takes it (recycled"),
            std::string::npos);
  EXPECT_NE(line("h2o", {}, {int64_t{4}}).find("--gate-strides"), std::string::npos);
  const ValueLists fixed = {{"schedule", {std::string("fixed")}}, {"threshold", {0.8}}};
  EXPECT_NE(line("recycled", fixed).find("--thresholds"), std::string::npos);
  const ValueLists query = {{"schedule", {std::string("query")}}, {"S", {int64_t{8}}}};
  EXPECT_NE(line("recycled", query).find("--strides"), std::string::npos);
}

TEST(Grid, OfSeveralPoliciesAListHoldsForThoseThatTakeIt) {
  TuneGrid grid = {.bases = {Settings("h2o"), Settings("streaming_refresh"), Settings("snapkv")}};
  grid.tried = {{"S", {int64_t{4}, int64_t{8}}}, {"K", {std::string("L/4")}}, {"window", {int64_t{16}, int64_t{32}}}};
  std::map<std::string, int> n;
  for (const Settings& each : grid_of(grid, {4096}).settings) ++n[each.policy()];
  EXPECT_EQ(n, (std::map<std::string, int>{{"h2o", 1}, {"streaming_refresh", 2}, {"snapkv", 2}}));
  grid.tried = {{"page", {int64_t{8}}}};
  const std::string line = refusal([&] { grid_of(grid, {4096}); });
  EXPECT_NE(line.find("--sweep page: expected a policy that takes it (quest"), std::string::npos) << line;
  EXPECT_NE(line.find("h2o, streaming_refresh, snapkv"), std::string::npos) << line;
}

TEST(Grid, WhatAPolicyRefusesForOneOfTheTracesIsLeftOutWithItsReason) {
  const GridSettings both =
      grid_of({.bases = {Settings("snapkv")}}, {4096, 512});  // of 512, L/32 is less than the window
  ASSERT_EQ(both.settings.size(), 4U);
  EXPECT_EQ(both.settings.back().summary(), "snapkv K=L/16");
  ASSERT_EQ(both.left_out.size(), 1U);
  EXPECT_EQ(both.left_out[0].settings.summary(), "snapkv K=L/32");
  EXPECT_EQ(both.left_out[0].reason.find("window: expected at most"), 0U) << both.left_out[0].reason;
  const std::string none = refusal([] { grid_of({.bases = {Settings("snapkv")}}, {32}); });
  EXPECT_NE(none.find("a setting that fits"), std::string::npos) << none;
}

TEST(Grid, TheMenuOfSchedulesHoldsWhatMayDifferByLayer) {
  const TraceInfo info = trace_of(4096);
  const TraceInfo* const traces[] = {&info};
  EXPECT_EQ(schedule_menu({}, Settings("recycled"), traces).settings.size(), 6U * (3 + 3));
  TuneGrid grid = {.bases = {Settings("snapkv")}};
  grid.tried = {{"window", {int64_t{16}, int64_t{64}}}};
  const std::vector<Settings> menu = schedule_menu(grid, grid.bases.front(), traces).settings;
  EXPECT_EQ(menu.size(), 6U);
  for (const Settings& each : menu) EXPECT_EQ(each.count("window", 0, 4096), 16) << "the first of its values";
}

TEST_F(Tune, EveryPolicysNumbersAreTheReplaysInSchedulesByLayerToo) {
  int n_by_layer = 0;
  for (const PolicyInfo& info : policy_registry()) {
    if (!info.takes("K")) continue;
    SCOPED_TRACE(info.name);
    options_.grid = {.bases = {Settings(info.name)}};
    options_.grid.tried["K"] = {std::string("L/2"), std::string("L/4"), std::string("L/8")};
    if (info.takes("window")) options_.grid.bases.front().set("window", int64_t{8});
    options_.n_schedule = 4;
    const TuneResult result = tuned();
    Replayer replayer(run_, pool_);
    for (const Candidate& candidate : result.candidates) {
      if (!candidate.whole || candidate.settings.is_full()) continue;
      n_by_layer += LayerSchedule(candidate.settings).by_layer();
      const ReplaySummary total = replayer.run({.settings = candidate.settings}, {}, Cancel()).total;
      EXPECT_NEAR(candidate.lost, total.lost, 1e-12) << name_of(candidate);
      EXPECT_NEAR(candidate.cost, total.ms_per_token, 1e-9) << name_of(candidate);
      EXPECT_EQ(&candidate.settings.info(), &info);
    }
  }
  EXPECT_GT(n_by_layer, 0);
}

}  // namespace
}  // namespace reattend
