// The replay against plain loops in double: decisions, positions, masses, overlaps and output errors, all options.
#include <gtest/gtest.h>

#include <set>
#include "replay/plans.h"
#include "tests/replay/compare.h"

namespace reattend {
namespace {

TEST(Replay, AgreesWithPlainLoopsForEveryPolicyAndOption) {
  ThreadPool pool(2);
  const auto run = std::make_shared<HandMade>(HandMadeShape{}, 7);
  Replayer replayer(run, pool);  // one replayer for all: what was prepared for one setting must serve or give way
  using List = std::vector<int64_t>;
  const Value never;
  const auto text = [](const char* s) { return Value(std::string(s)); };
  const std::vector<Settings> all = {
      Settings("full"),
      settings_of("recycled", {{"K", int64_t{10}}, {"S", int64_t{4}}}),
      settings_of("recycled", {{"K", int64_t{10}}, {"S", int64_t{1}}}),
      settings_of("recycled", {{"K", int64_t{3}}, {"S", int64_t{9}}}),
      settings_of("recycled", {{"K", int64_t{1}}, {"S", int64_t{5}}, {"pool", int64_t{1}}}),
      settings_of("recycled", {{"K", int64_t{200}}, {"S", int64_t{4}}}),
      settings_of("recycled", {{"K", int64_t{45}}, {"S", int64_t{6}}}),
      settings_of("recycled", {{"K", int64_t{16}}, {"S", never}, {"pool", int64_t{3}}}),
      settings_of("recycled", {{"K", text("L/8")}, {"S", int64_t{7}}, {"reduce", text("mean")}}),
      settings_of("recycled", {{"K", int64_t{8}}, {"S", int64_t{7}}, {"reduce", text("first")}, {"pool", int64_t{99}}}),
      settings_of("recycled", {{"K", int64_t{12}}, {"S", int64_t{4}}, {"refresh", text("score_only")}}),
      settings_of("recycled",
                  {{"K", int64_t{12}}, {"S", int64_t{4}}, {"dense_layers", List{1}}, {"refresh", text("score_only")}}),
      settings_of("recycled", {{"K", List{6, 12}}, {"S", List{3, 5}}, {"dense_layers", List{}}}),
      settings_of("recycled", {{"K", int64_t{12}}, {"S", int64_t{2}}, {"schedule", text("query")}, {"threshold", 0.4}}),
      settings_of("recycled", {{"K", int64_t{12}},
                               {"S", int64_t{2}},
                               {"schedule", text("query")},
                               {"threshold", std::vector<double>{-1, 1}}}),
      settings_of("recycled", {{"K", int64_t{12}},
                               {"S", int64_t{2}},
                               {"schedule", text("query")},
                               {"threshold", 0.4},
                               {"granularity", text("kv_head")},
                               {"similarity_query", text("post_rope")}}),
      settings_of("recycled", {{"K", int64_t{12}},
                               {"S", int64_t{1}},
                               {"schedule", text("query")},
                               {"threshold", 0.3},
                               {"granularity", text("kv_head")},
                               {"similarity_reduce", text("min_cosine")}}),
      settings_of("recycled", {{"K", int64_t{12}},
                               {"S", int64_t{3}},
                               {"schedule", text("query")},
                               {"threshold", 0.35},
                               {"similarity_reduce", text("mean_cosine")},
                               {"refresh", text("score_only")}}),
      settings_of("streaming", {{"K", int64_t{10}}}),
      settings_of("streaming", {{"K", int64_t{50}}, {"rotate", text("cache")}}),
      settings_of("streaming", {{"K", int64_t{10}}, {"rotate", text("cache")}}),
      settings_of("streaming", {{"K", int64_t{2}}, {"rotate", text("cache")}}),
      settings_of("streaming", {{"K", int64_t{10}}, {"sinks", int64_t{0}}}),
      settings_of("streaming", {{"K", int64_t{10}}, {"sinks", int64_t{10}}, {"rotate", text("cache")}}),
  };
  size_t n_gated_full = 0, n_gated_partial = 0;
  for (const Settings& settings : all) {
    const ReplayResult result = replay(replayer, settings);
    compare(run, settings, result);
    if (settings.policy() == "recycled" && settings.choice("schedule") == "query") {
      for (const LayerReplay& layer : result.layers) {
        for (const uint8_t full : layer.full) ++(full != 0 ? n_gated_full : n_gated_partial);
      }
    }
  }
  EXPECT_GT(n_gated_full, 20U) << "the gate must be seen to open and to close";
  EXPECT_GT(n_gated_partial, 20U);
  EXPECT_EQ(run->n_read, 2) << "a layer is read once";
}

TEST(Replay, AgreesOverPiecesShapesAndCacheTypes) {  // more than 256 positions, groups of one, half-split RoPE, f16
  ThreadPool pool(3);
  const HandMadeShape kShapes[] = {
      {.n_layer = 1, .n_head = 6, .n_kv_head = 2, .d_head = 16, .n_prompt = 530, .n_step = 9, .kv_type = KvType::f16},
      {.n_layer = 1,
       .n_head = 2,
       .n_kv_head = 2,
       .d_head = 4,
       .n_prompt = 250,
       .n_step = 12,
       .layout = RopeLayout::halves},
      {.n_layer = 1, .n_head = 3, .n_kv_head = 1, .d_head = 8, .n_prompt = 1, .n_step = 20},
  };
  for (const HandMadeShape& shape : kShapes) {
    const auto run = std::make_shared<HandMade>(shape, 11);
    Replayer replayer(run, pool);
    for (const Settings& settings : {settings_of("recycled", {{"K", int64_t{300}}, {"S", int64_t{4}}}),
                                     settings_of("recycled", {{"K", int64_t{20}}, {"S", int64_t{5}}}),
                                     settings_of("streaming", {{"K", int64_t{280}}, {"rotate", std::string("cache")}}),
                                     settings_of("streaming", {{"K", int64_t{7}}})}) {
      compare(run, settings, replay(replayer, settings));
    }
  }
}

TEST(Replay, RandomSettingsAgreeToo) {
  ThreadPool pool(2);
  std::mt19937 random(5);
  const auto pick = [&](std::initializer_list<const char*> names) {
    return Value(std::string(names.begin()[random() % names.size()]));
  };
  for (unsigned round = 0; round < 30; ++round) {
    const HandMadeShape shape = {.n_layer = 1,
                                 .n_prompt = static_cast<int32_t>(1 + random() % 60),
                                 .n_step = static_cast<int32_t>(1 + random() % 30)};
    const auto run = std::make_shared<HandMade>(shape, 100 + round);
    Replayer replayer(run, pool);
    const Settings settings =
        settings_of("recycled", {{"K", static_cast<int64_t>(1 + random() % 40)},
                                 {"S", static_cast<int64_t>(1 + random() % 12)},
                                 {"schedule", pick({"fixed", "query"})},
                                 {"threshold", static_cast<double>(random() % 100) / 100},
                                 {"reduce", pick({"max", "mean", "first"})},
                                 {"pool", static_cast<int64_t>(1 + random() % 5 * 2)},
                                 {"similarity_query", pick({"pre_rope", "post_rope"})},
                                 {"similarity_reduce", pick({"mean_query", "mean_cosine", "min_cosine"})},
                                 {"granularity", pick({"layer", "kv_head"})},
                                 {"refresh", pick({"attend", "score_only"})}});
    compare(run, settings, replay(replayer, settings));
  }
}

TEST(Replay, ResultsAreTheSameBitsForAnyNumberOfThreadsAndAnyMemory) {
  const Settings settings = settings_of(
      "recycled", {{"K", int64_t{10}}, {"S", int64_t{4}}, {"schedule", std::string("query")}, {"threshold", 0.4}});
  std::vector<ReplayResult> results;
  for (const int n_thread : {1, 2, 3}) {
    ThreadPool pool(n_thread);
    const auto run = std::make_shared<HandMade>(HandMadeShape{.n_layer = 4}, 3);
    Replayer replayer(run, pool, n_thread == 2 ? 150'000 : int64_t{1} << 30);
    replay(replayer, settings);
    results.push_back(replay(replayer, settings));
    for (const char* rival : {"h2o", "tova", "quest"}) {
      const ReplayResult other = replay(replayer, settings_of(rival, {{"K", int64_t{10}}}));
      std::move(other.layers.begin(), other.layers.end(), std::back_inserter(results.back().layers));
    }
    if (n_thread == 2) {
      EXPECT_GT(run->n_read, 4);
    }
  }
  for (const ReplayResult& other : results) {
    for (size_t l = 0; l < other.layers.size(); ++l) {
      EXPECT_EQ(other.layers[l].full, results[0].layers[l].full);
      EXPECT_EQ(other.layers[l].recovered, results[0].layers[l].recovered);
      EXPECT_EQ(other.layers[l].output_error, results[0].layers[l].output_error);
      EXPECT_EQ(other.layers[l].oracle, results[0].layers[l].oracle);
    }
  }
}

TEST(Replay, RowsAreThoseOfPlainLoopsBeforeAndAfterPreparation) {
  ThreadPool pool(1);
  const auto run = std::make_shared<HandMade>(HandMadeShape{}, 9);
  Replayer replayer(run, pool);
  BruteForce brute(*run);
  for (int round = 0; round < 2; ++round) {
    for (const int32_t t : {0, 1, 24}) {
      const std::vector<float> row = replayer.row(1, 1, t);
      const std::vector<double> expected = brute.mean_row(1, 1, t);
      ASSERT_EQ(row.size(), expected.size());
      for (size_t i = 0; i < row.size(); ++i) EXPECT_NEAR(row[i], expected[i], 1e-6);
    }
    replay(replayer, Settings("full"));
  }
  EXPECT_THROW(replayer.row(0, 0, 25), Error);
  EXPECT_THROW(replayer.row(2, 0, 1), Error);
}

TEST(Replay, SummariesAreMeansOverStepsAndHeads) {
  ThreadPool pool(1);
  const auto run = std::make_shared<HandMade>(HandMadeShape{}, 21);
  run->info().calibration = {
      .weights_ms = 2, .stream_gbps = 40, .attend_stream_gbps = 20, .attend_gather_gbps = 10, .score_gbps = 5};
  Replayer replayer(run, pool);
  const Settings settings = settings_of("recycled", {{"K", int64_t{10}}, {"S", int64_t{4}}});
  const ReplayResult result = replay(replayer, settings);
  BruteForce brute(*run);
  double recovered = 0, normalised = 0, error = 0, positions = 0, run_read = 0, kept_read = 0, ranked = 0;
  std::vector<double> errors;
  int n = 0;
  for (int32_t l = 0; l < 2; ++l) {
    const auto layer = brute.layer(l, settings);
    for (size_t i = 0; i < layer.size(); ++i) {
      for (const BruteStep& step : layer[i]) {
        recovered += step.recovered, normalised += step.recovered / step.oracle, ++n;
        positions += static_cast<double>(step.set.size());
        // K = 10, S = 4: j tokens since the full step are a run, the rest of the 11 are kept.
        const auto j = static_cast<double>((i + 1) % 4);
        run_read += step.full ? static_cast<double>(step.set.size()) : j;
        kept_read += step.full ? 0 : static_cast<double>(step.set.size()) - j;
        ranked += step.full ? static_cast<double>(step.set.size()) : 0;
        for (const double e : step.error) errors.push_back(e), error += e;
      }
    }
  }
  const ReplaySummary& total = result.total;
  EXPECT_NEAR(total.recovered, recovered / n, 1e-6);
  EXPECT_NEAR(total.lost, 1 - recovered / n, 1e-6);
  EXPECT_NEAR(total.normalised, normalised / n, 1e-6);
  EXPECT_NEAR(total.positions, positions / n, 1e-9);
  EXPECT_EQ(total.effective_stride, 4);
  EXPECT_NEAR(total.output_error_mean, error / static_cast<double>(errors.size()), 1e-5);
  std::sort(errors.begin(), errors.end());
  EXPECT_NEAR(total.output_error_p95,
              errors[static_cast<size_t>(std::ceil(0.95 * static_cast<double>(errors.size()))) - 1], 1e-5);
  const double row = 8 * 4, T = 24;  // bytes of a key; steps
  EXPECT_NEAR(total.bytes_attend, positions / T * 2 * row, 1e-6);
  // Full steps attend to what they score; the partial step after each, and the first of all, packs what was kept.
  EXPECT_NEAR(total.bytes_select, 2 * 2 * 6 * 10 * 2 * row / T, 1e-6);
  const double ms = 2 + 1e-6 / T * (run_read * 2 * row / 20 + kept_read * 2 * row / 10 + ranked * row / 5);
  EXPECT_NEAR(total.ms_per_token, ms, 1e-9);
  EXPECT_NEAR(total.ms_per_token_full, 2 + 1e-6 * 4 * (40 + 12.5) * 2 * row / 20, 1e-9);
  EXPECT_EQ(result.per_layer[0].ms_per_token, 0);
  EXPECT_NEAR((result.per_layer[0].recovered + result.per_layer[1].recovered) / 2, total.recovered, 1e-6);
}

TEST(Replay, NeverHasAnInfiniteStrideAndScoreOnlyReadsAllKeysToSelect) {
  ThreadPool pool(1);
  const auto run = std::make_shared<HandMade>(HandMadeShape{}, 22);
  Replayer replayer(run, pool);
  EXPECT_TRUE(std::isinf(
      replay(replayer, settings_of("recycled", {{"S", Value()}, {"K", int64_t{9}}})).total.effective_stride));
  const ReplaySummary total =
      replay(replayer,
             settings_of("recycled", {{"S", int64_t{12}}, {"K", int64_t{9}}, {"refresh", std::string("score_only")}}))
          .total;
  // Rows of 52 and 64 keys, and the kept sets of steps 0 and 12 packed.
  EXPECT_NEAR(total.bytes_select, (52.0 + 64.0 + 2 * 2 * 9) / 24 * 4 * 8 * 4, 1e-6);
  const ReplaySummary full = replay(replayer, Settings("full")).total;
  EXPECT_EQ(full.effective_stride, 1);
  EXPECT_NEAR(full.recovered, 1, 1e-6);
  EXPECT_EQ(full.output_error_p95, 0);
  EXPECT_TRUE(std::isnan(full.overlap));
}

// A step that chooses anew is not full where it attends to no more than any other.
TEST(Replay, StepsThatChooseAnewAreFullOnlyWhereTheyAttendToEverything) {
  ThreadPool pool(1);
  const auto run = std::make_shared<HandMade>(HandMadeShape{}, 23);
  Replayer replayer(run, pool);
  const auto roles = [&](const Settings& settings) {
    std::set<StepRole> found;
    const LayerReplay layer = replay(replayer, settings).layers[1];
    for (size_t at = 0; at < layer.full.size(); ++at) {
      const auto t = static_cast<int32_t>(at / 2) + 1;
      const StepRole role = role_of(layer, at, 40 - 1 + t);
      found.insert(role);
      EXPECT_EQ(role == StepRole::full, layer.sets[at].size() == 40 + t);
    }
    return found;
  };
  using Roles = std::set<StepRole>;
  EXPECT_EQ(roles(Settings("full")), (Roles{StepRole::full}));
  EXPECT_EQ(roles(settings_of("recycled", {{"K", int64_t{9}}, {"S", int64_t{5}}})),
            (Roles{StepRole::partial, StepRole::full}));
  EXPECT_EQ(
      roles(settings_of("recycled", {{"K", int64_t{9}}, {"S", int64_t{5}}, {"refresh", std::string("score_only")}})),
      (Roles{StepRole::partial, StepRole::selects}));
  EXPECT_EQ(roles(settings_of("tokenselect", {{"K", int64_t{9}}, {"n_local", int64_t{2}}})).contains(StepRole::full),
            false);
}

TEST(Replay, ErrorsOfAKvHeadAreMeansOverItsQueryHeads) {
  EXPECT_EQ(mean_over_groups({1, 3, 2, 6, 0, 1, 4, 8}, 2), (std::vector<float>{2, 4, 0.5F, 6}));
  EXPECT_TRUE(mean_over_groups({}, 3).empty());
}

TEST(Replay, OnlyTheLayersAskedForAreReadAndInThatOrder) {
  ThreadPool pool(1);
  const auto run = std::make_shared<HandMade>(HandMadeShape{.n_layer = 5}, 4);
  Replayer replayer(run, pool);
  const ReplayResult result = replayer.run({.settings = Settings("full"), .layers = {3, 1}}, kQuiet, Cancel());
  ASSERT_EQ(result.layers.size(), 2U);
  EXPECT_EQ(result.layers[0].layer, 3);
  EXPECT_EQ(result.layers[1].layer, 1);
  EXPECT_EQ(run->n_read, 2);
  EXPECT_EQ(result.total.ms_per_token, 0);
  for (const std::vector<int32_t>& wrong : {std::vector<int32_t>{5}, {-1}, {1, 1}}) {
    EXPECT_THROW(replayer.run({.settings = Settings("full"), .layers = wrong}, kQuiet, Cancel()), Error);
  }
}

TEST(Replay, TracesWithoutValuesGiveEverythingButOutputErrors) {
  ThreadPool pool(1);
  const auto run = std::make_shared<HandMade>(HandMadeShape{.values = false}, 4);
  Replayer replayer(run, pool);
  const Settings settings = settings_of("recycled", {{"K", int64_t{9}}});
  const ReplayResult result = replay(replayer, settings);
  EXPECT_TRUE(result.layers[0].output_error.empty());
  EXPECT_TRUE(std::isnan(result.total.output_error_p95));
  compare(run, settings, result);
}

TEST(Replay, ACancelledRunStopsAndTheNextOneIsWhole) {
  ThreadPool pool(2);
  const auto run = std::make_shared<HandMade>(HandMadeShape{}, 4);
  Replayer replayer(run, pool);
  const Settings settings = settings_of("recycled", {{"K", int64_t{9}}});
  Cancel cancel;
  const ProgressFn raise = [&](const std::string&, double done, double, const std::string&) {
    if (done == 1) cancel.raise();
  };
  EXPECT_THROW(replayer.run({.settings = settings}, raise, cancel), Cancelled);
  compare(run, settings, replay(replayer, settings));
}

TEST(Replay, DamagedRunsAreErrorsNotCrashes) {
  ThreadPool pool(1);
  const Settings settings = settings_of("recycled", {{"K", int64_t{9}}});
  const auto broken = [&](auto&& damage) {
    const auto run = std::make_shared<HandMade>(HandMadeShape{}, 4);
    damage(*run);
    Replayer replayer(run, pool);
    replay(replayer, settings);
  };
  EXPECT_THROW(broken([](HandMade& run) { run.data(1).keys.resize(16); }), Error);
  EXPECT_THROW(broken([](HandMade& run) { run.data(1).values.resize(16); }), Error);
  EXPECT_THROW(broken([](HandMade& run) { run.data(1).queries.resize(16); }), Error);
  EXPECT_THROW(broken([](HandMade& run) { run.data(1).n_kv_head = 1; }), Error);
  EXPECT_THROW(broken([](HandMade& run) { run.data(1).n_position = 50; }), Error);
  EXPECT_THROW(broken([](HandMade& run) { run.info().n_step = 0; }), Error);
  EXPECT_THROW(broken([](HandMade& run) { run.info().n_kv_head = 3; }), Error);
  EXPECT_THROW(broken([](HandMade& run) { run.data(0).queries[3] = std::numeric_limits<float>::quiet_NaN(); }), Error);
  EXPECT_THROW(broken([](HandMade& run) { std::fill_n(run.data(0).keys.begin(), 64, std::byte{0xff}); }), Error);
  EXPECT_THROW(broken([](HandMade& run) { std::fill_n(run.data(0).values.end() - 4, 4, std::byte{0xff}); }), Error);
  EXPECT_THROW(broken([](HandMade& run) { std::fill(run.data(0).queries.begin(), run.data(0).queries.end(), 3e38F); }),
               Error);
}

/// A policy of somebody's own may be more than a replay can carry out.
TEST(Replay, PlansThatItCannotCarryOutAreNamedWithTheirLayer) {
  struct Own final : Policy {
    Select before, after;
    Plan plan(int32_t, int32_t) const override {
      return {.branch = {.before = before, .attend = {.everything = true}, .after = after}};
    }
  };
  const auto refusal = [](const Own& policy) -> std::string {
    try {
      const LayerPlans plans(policy, 3, 20, 5);
      return "";
    } catch (const Error& error) {
      return error.what();
    }
  };
  Own policy;
  policy.before = policy.after = {.by = Rank::row, .keep = 4, .end = 20};
  EXPECT_NE(refusal(policy).find("twice in a step"), std::string::npos) << refusal(policy);
  EXPECT_NE(refusal(policy).find("layer 3"), std::string::npos) << refusal(policy);
  policy.before = {};
  EXPECT_EQ(refusal(policy), "");
  for (const PolicyInfo& each : policy_registry()) {
    const auto built_in =
        make_policy(Settings(std::string(each.name)), {.n_layer = 4, .n_head = 4, .n_kv_head = 2, .n_prompt = 3000});
    for (int32_t layer = 0; layer < 4; ++layer) EXPECT_NO_THROW(LayerPlans(*built_in, layer, 3000, 40)) << each.name;
  }
}

}  // namespace
}  // namespace reattend
