// Policies whose choices depend on earlier ones, or on more than a row: sets, measures and costs against plain loops.
#include <limits>

#include "policies/layer_schedule.h"
#include "tests/replay/compare.h"

namespace reattend {
namespace {

/// Several settings of every policy that chooses in another way than from the top of a row.
std::vector<Settings> rivals() {
  const auto text = [](const char* s) { return Value(std::string(s)); };
  const Value never;
  using List = std::vector<int64_t>;
  return {
      settings_of("oracle", {{"K", int64_t{10}}}),
      settings_of("oracle", {{"K", int64_t{1}}, {"pool", int64_t{1}}, {"reduce", text("mean")}}),
      settings_of("oracle", {{"K", List{5, 200}}, {"reduce", text("first")}}),
      settings_of("streaming_refresh", {{"K", int64_t{10}}, {"S", int64_t{4}}}),
      settings_of("streaming_refresh", {{"K", int64_t{9}}, {"S", List{3, 5}}, {"rotate", text("cache")}}),
      settings_of("streaming_refresh", {{"K", int64_t{9}}, {"S", never}, {"sinks", int64_t{0}}}),
      settings_of("h2o", {{"K", int64_t{10}}}),
      settings_of("h2o", {{"K", int64_t{11}}, {"reduce", text("mean")}}),
      settings_of("h2o", {{"K", int64_t{1}}}),
      settings_of("h2o", {{"K", List{45, 2}}, {"reduce", text("first")}}),
      settings_of("h2o", {{"K", int64_t{200}}}),
      settings_of("snapkv", {{"K", int64_t{12}}, {"window", int64_t{5}}}),
      settings_of("snapkv", {{"K", int64_t{32}}}),
      settings_of("snapkv", {{"K", int64_t{9}}, {"window", int64_t{9}}, {"reduce", text("mean")}}),
      settings_of("snapkv", {{"K", List{40, 20}}, {"window", int64_t{1}}, {"pool", int64_t{1}}}),
      settings_of("snapkv", {{"K", int64_t{60}}, {"window", int64_t{60}}}),
      settings_of("pyramidkv", {{"K", int64_t{14}}}),
      settings_of("pyramidkv", {{"K", int64_t{21}}, {"window", int64_t{3}}, {"beta", int64_t{2}}}),
      settings_of("tova", {{"K", int64_t{10}}}),
      settings_of("tova", {{"K", int64_t{1}}}),
      settings_of("tova", {{"K", List{50, 13}}}),
      settings_of("tova", {{"K", int64_t{200}}}),
      settings_of("quest", {{"K", int64_t{12}}, {"page", int64_t{4}}, {"dense_layers", List{}}}),
      settings_of("quest", {{"K", int64_t{7}}, {"page", int64_t{3}}, {"dense_layers", List{0}}}),
      settings_of("quest", {{"K", List{1, 9}}, {"page", int64_t{1}}, {"dense_layers", List{}}}),
      settings_of("quest", {{"K", int64_t{33}}, {"dense_layers", List{}}}),
      settings_of("quest", {{"K", int64_t{200}}, {"page", int64_t{64}}, {"dense_layers", List{}}}),
      settings_of("tokenselect", {{"K", int64_t{16}}, {"threshold", 0.4}}),
      settings_of("tokenselect", {{"K", int64_t{16}}, {"selection_cache", text("off")}}),
      settings_of("tokenselect", {{"K", int64_t{12}},
                                  {"n_init", int64_t{0}},
                                  {"n_local", int64_t{0}},
                                  {"threshold", 0.5},
                                  {"similarity_query", text("post_rope")}}),
      settings_of("tokenselect", {{"n_init", int64_t{3}},
                                  {"n_local", int64_t{6}},
                                  {"k", int64_t{5}},
                                  {"threshold", std::vector<double>{-1, 0.45}}}),
      settings_of("tokenselect", {{"K", List{48, 5}}, {"threshold", std::vector<double>{1.5, 0.3}}}),
      settings_of("tokenselect", {{"threshold", 0.4}}),
      settings_of("sketch", {{"K", int64_t{30}}}),
      settings_of("sketch", {{"K", int64_t{1}}}),
      settings_of("sketch", {{"K", int64_t{24}}, {"reuse", 0.3}}),
      settings_of(
          "sketch",
          {{"K", List{9, 45}}, {"reuse", 0.2}, {"similarity_query", text("post_rope")}, {"recent", int64_t{3}}}),
      settings_of("sketch", {{"K", int64_t{200}}}),
      settings_of("sketch", {{"K", int64_t{12}}, {"sinks", int64_t{0}}, {"recent", int64_t{0}}, {"block", int64_t{7}}}),
      settings_of("sketch",
                  {{"K", List{9, 40}}, {"block", int64_t{32}}, {"channels", int64_t{1}}, {"reduce", text("mean")}}),
      settings_of("sketch", {{"K", int64_t{24}},
                             {"bits", int64_t{5}},
                             {"channels", int64_t{3}},
                             {"sinks", int64_t{9}},
                             {"pool", int64_t{3}}}),
      settings_of("sketch", {{"K", int64_t{30}}, {"recent", int64_t{2}}, {"min_weight", 0.02}, {"min_k", int64_t{8}}}),
      settings_of("sketch",
                  {{"K", int64_t{30}}, {"min_weight", 0.9}, {"reduce", text("mean")}, {"dense_layers", List{0}}}),
  };
}

TEST(Rivals, EveryRivalAgreesWithPlainLoops) {
  ThreadPool pool(2);
  const auto run = std::make_shared<HandMade>(HandMadeShape{}, 7);
  Replayer replayer(run, pool);
  size_t n_again = 0, n_anew = 0;
  for (const Settings& settings : rivals()) {
    const ReplayResult result = replay(replayer, settings);
    compare(run, settings, result);
    if (settings.policy() != "tokenselect") continue;
    for (const LayerReplay& layer : result.layers) {
      for (const uint8_t full : layer.full) ++(full != 0 ? n_anew : n_again);
    }
  }
  EXPECT_GT(n_anew, 20U) << "the selection cache must be seen to serve and to be renewed";
  EXPECT_GT(n_again, 20U);
}

TEST(Rivals, EveryRivalAgreesOnOtherShapesToo) {  // one layer, one token of prompt, several pieces, groups of one
  ThreadPool pool(3);
  const HandMadeShape kShapes[] = {
      {.n_layer = 1, .n_head = 6, .n_kv_head = 2, .d_head = 16, .n_prompt = 520, .n_step = 6, .kv_type = KvType::f16},
      {.n_layer = 1,
       .n_head = 2,
       .n_kv_head = 2,
       .d_head = 4,
       .n_prompt = 12,
       .n_step = 30,
       .layout = RopeLayout::halves},
      {.n_layer = 1, .n_head = 3, .n_kv_head = 1, .d_head = 8, .n_prompt = 1, .n_step = 20},
  };
  for (const HandMadeShape& shape : kShapes) {
    const auto run = std::make_shared<HandMade>(shape, 11);
    Replayer replayer(run, pool);
    for (const Settings& settings : rivals()) {
      if (LayerSchedule(settings).by_layer()) continue;  // lists for two layers
      compare(run, settings, replay(replayer, settings));
    }
  }
}

TEST(Rivals, RandomRivalsAgreeToo) {
  ThreadPool pool(2);
  std::mt19937 random(6);
  const auto pick = [&](std::initializer_list<const char*> names) {
    return Value(std::string(names.begin()[random() % names.size()]));
  };
  const auto count = [&](int64_t least, unsigned most) { return Value(least + static_cast<int64_t>(random() % most)); };
  for (unsigned round = 0; round < 40; ++round) {
    const HandMadeShape shape = {.n_layer = static_cast<int32_t>(1 + random() % 3),
                                 .n_prompt = static_cast<int32_t>(1 + random() % 60),
                                 .n_step = static_cast<int32_t>(1 + random() % 30)};
    const auto run = std::make_shared<HandMade>(shape, 200 + round);
    Replayer replayer(run, pool);
    const Value budget = count(1, 70);
    const auto window = static_cast<int64_t>(1 + random() % static_cast<unsigned>(std::get<int64_t>(budget)));
    for (const Settings& settings :
         {settings_of("oracle", {{"K", budget}, {"pool", Value(int64_t{1 + 2 * static_cast<int64_t>(random() % 4)})}}),
          settings_of("h2o", {{"K", budget}, {"reduce", pick({"max", "mean", "first"})}}),
          settings_of("snapkv", {{"K", budget}, {"window", Value(window)}, {"reduce", pick({"max", "mean", "first"})}}),
          settings_of("pyramidkv", {{"K", budget}, {"window", Value(window)}, {"beta", count(1, 9)}}),
          settings_of("tova", {{"K", budget}}),
          settings_of("quest", {{"K", budget}, {"page", count(1, 20)}, {"dense_layers", std::vector<int64_t>{}}}),
          settings_of("sketch", {{"K", budget},
                                 {"block", count(1, 40)},
                                 {"bits", count(1, 8)},
                                 {"channels", count(1, 4)},
                                 {"sinks", count(0, 9)},
                                 {"recent", count(0, 20)},
                                 {"reduce", pick({"max", "mean", "first"})},
                                 {"min_weight", static_cast<double>(random() % 40) / 1000},
                                 {"min_k", count(0, 20)},
                                 {"reuse", static_cast<double>(random() % 300) / 100 - 1}}),
          settings_of("tokenselect", {{"K", budget},
                                      {"threshold", static_cast<double>(random() % 100) / 100},
                                      {"similarity_query", pick({"pre_rope", "post_rope"})}})}) {
      compare(run, settings, replay(replayer, settings));
    }
  }
}

/// With all channels and 8 bits an estimate is the score but for a few thousandths: a sketch that then chose otherwise
/// than the oracle would rank by something else.
TEST(Rivals, AFineSketchChoosesWhatTheOracleDoes) {
  ThreadPool pool(2);
  const auto run = std::make_shared<HandMade>(HandMadeShape{.n_prompt = 300, .n_step = 20}, 31);
  Replayer replayer(run, pool);
  const auto sets = [&](const Settings& settings) { return replay(replayer, settings, false).layers; };
  const auto oracle = sets(settings_of("oracle", {{"K", int64_t{40}}, {"pool", int64_t{1}}}));
  const auto sketch = sets(settings_of("sketch", {{"K", int64_t{40}},
                                                  {"bits", int64_t{8}},
                                                  {"channels", int64_t{run->info().d_head}},
                                                  {"sinks", int64_t{0}},
                                                  {"recent", int64_t{0}}}));
  int64_t both = 0, all = 0;
  for (size_t l = 0; l < oracle.size(); ++l) {
    for (size_t i = 0; i < oracle[l].sets.size(); ++i) {
      std::vector<int32_t> common;
      std::ranges::set_intersection(oracle[l].sets[i].list(), sketch[l].sets[i].list(), std::back_inserter(common));
      both += static_cast<int64_t>(common.size()), all += sketch[l].sets[i].size();
    }
  }
  ASSERT_GT(all, 0);
  EXPECT_GT(static_cast<double>(both), 0.98 * static_cast<double>(all));
}

/// A user who replays h2o or a wide snapkv on a trace that can't give it must be told what to do.
TEST(Rivals, WhatATraceLacksIsSaidWithTheWayToGetIt) {
  ThreadPool pool(1);
  const auto run = std::make_shared<HandMade>(HandMadeShape{.n_prompt = 100, .n_step = 4}, 4);
  run->info().has_prompt_row_sums = false;
  Replayer replayer(run, pool);
  const auto message = [&](const Settings& settings) {
    try {
      replay(replayer, settings);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_NE(message(settings_of("h2o", {{"K", int64_t{9}}})).find("--prompt-rows"), std::string::npos);
  const std::string wide = message(settings_of("snapkv", {{"K", int64_t{80}}, {"window", int64_t{65}}}));
  EXPECT_NE(wide.find("at most 64"), std::string::npos) << wide;
  EXPECT_NE(wide.find("--window"), std::string::npos) << wide;
  EXPECT_EQ(message(settings_of("snapkv", {{"K", int64_t{80}}, {"window", int64_t{64}}})), "");
  EXPECT_EQ(message(settings_of("tova", {{"K", int64_t{9}}})), "");
}

/// Oracle reads all keys to choose, and quest its bounds: a prediction that left them out would recommend them.
TEST(Rivals, WhatIsReadToChooseIsPredictedToTakeTime) {
  ThreadPool pool(1);
  const auto run = std::make_shared<HandMade>(HandMadeShape{.n_layer = 1}, 23);
  run->info().calibration = {
      .weights_ms = 2, .stream_gbps = 40, .attend_stream_gbps = 20, .attend_gather_gbps = 10, .score_gbps = 5};
  Replayer replayer(run, pool);
  const double row = 8 * 4, T = 24, n_row = 2 * T * (40 + 12.5);  // bytes of a key; steps; positions of all rows
  const ReplaySummary oracle = replay(replayer, settings_of("oracle", {{"K", int64_t{10}}})).total;
  EXPECT_NEAR(oracle.bytes_select, n_row * row / T, 1e-6);
  EXPECT_NEAR(oracle.ms_per_token, 2 + 1e-6 * (oracle.bytes_attend / 10 + n_row * row / T / 20 + n_row * row / T / 5),
              1e-9);
  const ReplaySummary quest =
      replay(replayer,
             settings_of("quest", {{"K", int64_t{12}}, {"page", int64_t{8}}, {"dense_layers", std::vector<int64_t>{}}}))
          .total;
  // p = 40 .. 63: complete pages before the last one are 4 at p = 40, 5 up to 48, 6 up to 56, 7 up to 63; the bounds of
  // the first 5 are made with the prompt. One page is chosen, the last one and p are a run.
  const double bounds = 2 * (4 + 8 * 5 + 8 * 6 + 7 * 7), page = 2 * 8 * 4, made = 2 * 2 * 8;
  EXPECT_NEAR(quest.bytes_select, (bounds * page + made * row) / T, 1e-6);
  const double kept = 2 * T * 8 * 2 * row, all = quest.bytes_attend * T;
  EXPECT_NEAR(quest.ms_per_token, 2 + 1e-6 / T * (kept / 10 + (all - kept) / 20 + made * row / 20 + bounds * page / 5),
              1e-9);
}

TEST(Rivals, DamagedSumsAndQueriesOfThePromptAreErrorsNotCrashes) {
  struct Damaged final : ReplaySource {
    const TraceInfo& info() const override { return run.info(); }
    LayerData layer(int32_t layer) override { return run.layer(layer); }
    std::vector<float> prompt_row_sums(int32_t) override { return data; }
    std::vector<float> prompt_queries(int32_t) override { return data; }
    MapData map(int32_t, int32_t) override { return {}; }
    HandMade run{{}, 4};
    std::vector<float> data;
  };
  ThreadPool pool(1);
  const auto run = std::make_shared<Damaged>();
  Replayer replayer(run, pool);
  for (const float x : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (const size_t n : {size_t{0}, size_t{7}, size_t{10000}}) {
      run->data.assign(n, x);
      EXPECT_THROW(replay(replayer, settings_of("h2o", {{"K", int64_t{9}}})), Error);
      EXPECT_THROW(replay(replayer, settings_of("snapkv", {{"K", int64_t{32}}})), Error);
    }
  }
  run->data.assign(10000, 1.0F);
  replay(replayer, settings_of("h2o", {{"K", int64_t{9}}}));
}

}  // namespace
}  // namespace reattend
