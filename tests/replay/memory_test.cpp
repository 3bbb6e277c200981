// Long decodes: a replay that may hold less than a layer's rows gives the same bits, and says so where it cannot.
#include "policies/policy.h"
#include "tests/replay/same_bits.h"

namespace reattend {
namespace {

constexpr HandMadeShape kLong = {.n_layer = 2, .n_head = 4, .n_kv_head = 2, .d_head = 8, .n_prompt = 40, .n_step = 300};

/// Sets as parts brought them, and how many parts there were.
struct Parts {
  int n = 0;
  std::vector<std::vector<PositionRuns>> sets;  ///< [layers][T n_kv_head]
  int64_t most = 0;                             ///< bytes that the replayer held
};

ReplayResult run_with(Replayer& replayer, const ReplayRequest& request, Parts& parts) {
  const auto on_part = [&](const PreparedLayer& prepared, Steps steps, const LayerReplay& layer) {
    ++parts.n, parts.most = std::max(parts.most, replayer.bytes());
    if (steps.first == 1) parts.sets.emplace_back(layer.sets.size());
    for (int32_t t = steps.first; t <= steps.last; ++t) {
      for (int32_t g = 0; g < prepared.n_kv_head(); ++g) {
        const size_t at = static_cast<size_t>(t - 1) * prepared.n_kv_head() + g;
        parts.sets.back()[at] = layer.sets[at];
      }
    }
  };
  return replayer.run(request, {}, Cancel(), {}, on_part);
}

/// The least memory, within a tenth, that a replay takes that shows its parts.
int64_t least_memory(const std::shared_ptr<HandMade>& run, ThreadPool& pool, const ReplayRequest& request) {
  for (int64_t memory = 20'000;; memory += memory / 10) {
    try {
      Replayer replayer(run, pool, memory);
      Parts parts;
      run_with(replayer, request, parts);
      return memory;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("--memory"), std::string::npos) << error.what();
    }
  }
}

std::vector<Settings> settings_of_all_kinds() {
  std::vector<Settings> all;
  for (const PolicyInfo& policy : policy_registry()) {
    Settings settings{std::string(policy.name)};
    if (settings.takes("K")) settings.set("K", int64_t{12});
    if (settings.takes("window")) settings.set("window", int64_t{8});
    all.push_back(settings);
  }
  const auto recycled = [&](std::vector<std::pair<std::string, Value>> values) {
    values.emplace_back("K", int64_t{20});
    all.push_back(settings_of("recycled", values));
  };
  recycled({{"S", int64_t{7}}});
  recycled({{"S", Value()}});
  recycled({{"S", int64_t{90}}, {"refresh", std::string("score_only")}, {"reduce", std::string("first")}});
  recycled({{"S", int64_t{3}},
            {"schedule", std::string("query")},
            {"threshold", 0.5},
            {"granularity", std::string("kv_head")}});
  all.push_back(settings_of("streaming", {{"K", int64_t{30}}, {"rotate", std::string("cache")}}));
  return all;
}

TEST(Memory, WhatDoesNotFitIsReplayedInPartsOfTheSameBits) {
  ThreadPool pool(2);
  const auto run = std::make_shared<HandMade>(kLong, 17);
  Replayer plenty(run, pool);
  for (const Settings& settings : settings_of_all_kinds()) {
    for (const bool estimates : {false, true}) {
      const ReplayRequest request = {.settings = settings, .estimates = estimates};
      Parts whole;
      const ReplayResult expected = run_with(plenty, request, whole);
      EXPECT_EQ(whole.n, 2) << settings.summary() << ": one part for each layer";
      const int64_t least = least_memory(run, pool, request);
      // Beyond what a single step takes: arrays are made of whole pages, one more for each.
      for (const int64_t memory : {least + 60'000, least * 2}) {
        const std::string what = settings.summary() + " in " + std::to_string(memory) + " bytes";
        Replayer tight(run, pool, memory);
        Parts parts;
        const ReplayResult found = run_with(tight, request, parts);
        EXPECT_TRUE(parts.n > 2 || memory == least * 2) << what << ": otherwise nothing was tried";
        EXPECT_LE(parts.most, memory) << what;
        EXPECT_EQ(parts.sets, whole.sets) << what;
        ASSERT_EQ(found.layers.size(), 2U);
        for (size_t l = 0; l < 2; ++l) expect_same(found.layers[l], expected.layers[l], what);
        // Without anybody to see the parts, and with the sets of one KV head at some steps.
        ReplayRequest some = request;
        some.keep_sets = true, some.set_steps = {100, 110}, some.set_kv_head = 1;
        const ReplayResult again = tight.run(some, {}, Cancel());
        for (size_t at = 0; at < again.layers[1].sets.size(); ++at) {
          const bool wanted = at % 2 == 1 && at / 2 + 1 >= 100 && at / 2 + 1 <= 110;
          EXPECT_EQ(again.layers[1].sets[at], wanted ? whole.sets[1][at] : PositionRuns()) << what;
        }
      }
    }
  }
}

TEST(Memory, ALayerThatFitsAloneIsWholeAndThoseThatFitBesideItStay) {
  ThreadPool pool(2);
  const auto run = std::make_shared<HandMade>(HandMadeShape{.n_layer = 4, .n_step = 300}, 5);
  const ReplayRequest request = {.settings = settings_of("recycled", {{"K", int64_t{20}}})};
  Replayer plenty(run, pool);
  plenty.run(request, {}, Cancel());
  const int64_t all = plenty.bytes();
  run->n_read = 0;
  plenty.run(request, {}, Cancel());
  EXPECT_EQ(run->n_read, 0) << "what is prepared is not read again";
  Replayer half(run, pool, all * 3 / 4);
  for (int round = 0; round < 3; ++round) {
    half.run(request, {}, Cancel());
    EXPECT_LE(half.bytes(), all * 3 / 4);
    EXPECT_GT(half.bytes(), all / 4) << "more than one layer stays";
  }
}

TEST(Memory, TooLittleForAStepIsAnErrorThatNamesWhatWouldDo) {
  ThreadPool pool(1);
  const auto run = std::make_shared<HandMade>(kLong, 5);
  Replayer replayer(run, pool, 10'000);
  for (const auto& attempt :
       std::vector<std::function<void()>>{[&] { replayer.run({.settings = Settings("full")}, {}, Cancel()); },
                                          [&] { replayer.row(0, 0, 1); }, [&] { replayer.layer(0, Cancel()); }}) {
    try {
      attempt();
      FAIL() << "it does not fit into 10 kB";
    } catch (const Error& error) {
      const std::string text = error.what();
      EXPECT_NE(text.find("--memory 0.0"), std::string::npos) << text;
      EXPECT_NE(text.find("GB of memory"), std::string::npos) << text;
    }
  }
  EXPECT_EQ(replayer.bytes(), 0);
}

TEST(Memory, RowsOfAnUnpreparedLayerAreThoseOfAPreparedOne) {
  ThreadPool pool(1);
  const auto run = std::make_shared<HandMade>(kLong, 5);
  Replayer plenty(run, pool);
  plenty.layer(1, Cancel());
  Replayer tight(run, pool, 150'000);
  for (const int32_t t : {0, 1, 150, 300}) EXPECT_EQ(tight.row(1, 1, t), plenty.row(1, 1, t)) << t;
  const PreparedLayer& layer = tight.layer(1, Cancel());
  std::vector<float> row(static_cast<size_t>(layer.n_row(300)));
  layer.copy_row(1, 300, row.data());
  EXPECT_EQ(row, plenty.row(1, 1, 300));
}

TEST(Memory, PartsReportProgressAndCanBeCancelled) {
  ThreadPool pool(1);
  const auto run = std::make_shared<HandMade>(kLong, 5);
  const ReplayRequest request = {.settings = settings_of("recycled", {{"K", int64_t{20}}})};
  Replayer replayer(run, pool, least_memory(run, pool, request) + 20'000);
  std::vector<double> seen;
  replayer.run(
      request, [&](const std::string&, double done, double, const std::string&) { seen.push_back(done); }, Cancel());
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_GT(std::count_if(seen.begin(), seen.end(), [](double x) { return x > 0 && x < 1; }), 2);
  const Cancel cancel;
  EXPECT_THROW(replayer.run(
                   request,
                   [&](const std::string&, double done, double, const std::string&) {
                     if (done > 0.5) cancel.raise();
                   },
                   cancel),
               Cancelled);
  Replayer plenty(run, pool);
  const ReplayResult after = replayer.run(request, {}, Cancel()), expected = plenty.run(request, {}, Cancel());
  for (size_t l = 0; l < 2; ++l) expect_same(after.layers[l], expected.layers[l], "after a cancelled run");
}

}  // namespace
}  // namespace reattend
