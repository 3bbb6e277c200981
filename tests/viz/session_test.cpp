// What a session knows and when: the newest setting wins, layers are shown as they come, unknown is not zero.
#include <chrono>
#include <cmath>
#include <thread>

#include <gtest/gtest.h>

#include "base/error.h"
#include "session_rig.h"
#include "synthetic_source.h"
#include "viz/session/goal.h"
#include "viz/session/save_settings.h"

namespace reattend::viz::testing {
namespace {

TEST(Session, TheNewestSettingWinsAndNothingOfAnOlderOneIsMixedIn) {
  Rig rig;
  rig.open();
  for (const int64_t k : {10, 20, 30, 40}) rig.session.set_settings(with_budget(k));
  EXPECT_FALSE(rig.session.layer_is_current()) << "what is shown is still of the setting before";
  EXPECT_FALSE(rig.session.total_is_current());
  rig.until([&] { return rig.session.layer_is_current(); });
  EXPECT_EQ(rig.session.layer()->positions[0], 41);
  rig.settle();
  EXPECT_TRUE(rig.session.total_is_current());
  EXPECT_EQ(rig.session.answer()->settings, with_budget(40));
  EXPECT_TRUE(rig.session.answer()->has_errors);
}

TEST(Session, LayersAreShownAsTheyCome) {
  Rig rig;
  rig.stage->let_through(0);
  rig.session.open("trace.h5");
  rig.until([&] { return rig.session.trace() != nullptr; });
  rig.stage->await_waiting();
  EXPECT_EQ(rig.session.layer(), nullptr);
  EXPECT_EQ(rig.session.layer_map(LayerMeasure::lost_mass).values, nullptr);
  rig.stage->let_through(1);  // the layer that is looked at
  rig.until([&] { return rig.session.rows() != nullptr && rig.session.layer() != nullptr; });
  const int32_t first = rig.session.selection().layer;
  EXPECT_EQ(first, 3);
  EXPECT_TRUE(rig.session.layer_is_current());
  EXPECT_EQ(rig.session.total(), nullptr);
  EXPECT_TRUE(rig.session.attended(5, 0).has_value()) << "with its sets";
  EXPECT_FALSE(std::isnan(rig.in_map(LayerMeasure::lost_mass, first, 1)));
  EXPECT_TRUE(std::isnan(rig.in_map(LayerMeasure::lost_mass, 0, 1)));
  EXPECT_EQ(rig.session.why_unknown(LayerMeasure::lost_mass, 0), "not replayed yet");
  rig.stage->let_through(1);
  rig.until([&] { return rig.session.answer()->n_done == 2; });
  EXPECT_EQ(rig.session.total(), nullptr) << "a mean over some of the layers is none over all";
  rig.stage->let_all_through();
  rig.settle();
  EXPECT_NE(rig.session.total(), nullptr);
  for (int32_t l = 0; l < rig.shape.n_layer; ++l)
    EXPECT_FALSE(std::isnan(rig.in_map(LayerMeasure::output_error, l, 1)));
}

TEST(Session, ADragKeepsWhatIsThereUntilTheNewArrives) {
  Rig rig;
  rig.open();
  const LayerReplay* const before = rig.session.layer();
  rig.session.set_settings(with_budget(33));
  rig.session.update();
  ASSERT_NE(rig.session.layer(), nullptr);
  EXPECT_TRUE(rig.session.layer() == before || rig.session.layer_is_current());
  EXPECT_NE(rig.session.total(), nullptr);
  EXPECT_NE(rig.session.layer_map(LayerMeasure::lost_mass).values, nullptr);
  rig.settle();
}

TEST(Session, AnotherTraceDropsWhatWasAskedOfTheOld) {
  Rig rig;
  rig.stage->let_through(1);
  rig.session.open("trace.h5");
  rig.until([&] { return rig.session.layer() != nullptr; });
  rig.stage->await_waiting();
  rig.session.open("other.h5");
  EXPECT_EQ(rig.session.path(), "trace.h5") << "until the other one is there";
  EXPECT_NE(rig.session.layer(), nullptr);
  rig.stage->let_through(1);  // what was being read for the old one
  rig.until([&] { return rig.session.path() == "other.h5"; });
  EXPECT_EQ(rig.session.layer(), nullptr);
  EXPECT_EQ(rig.session.total(), nullptr);
  rig.stage->let_all_through();
  rig.settle();
  EXPECT_EQ(rig.session.trace_version(), 2U);
  EXPECT_TRUE(rig.session.total_is_current());
}

TEST(Session, RowsAreTheSourcesOwn) {
  Rig rig;
  rig.open();
  rig.session.select_layer(2), rig.session.select_kv_head(1), rig.session.select_step(1);
  rig.settle();
  ASSERT_NE(rig.session.rows(), nullptr);
  for (const int32_t t : {1, 17, rig.shape.n_step}) {
    for (const int32_t j : {0, 5, rig.shape.n_prompt + t - 1}) {
      EXPECT_NEAR(*rig.session.weight(t, j), synthetic_weight(rig.shape, 2, 1, t, j), 1e-6) << t << ' ' << j;
    }
    EXPECT_FALSE(rig.session.weight(t, rig.shape.n_prompt + t).has_value());
    EXPECT_TRUE(rig.session.attended(t, rig.shape.n_prompt + t - 1).value());
  }
}

TEST(Session, WhyAnOpeningFailedIsSaid) {
  Session session([](const std::filesystem::path&) -> std::shared_ptr<ReplaySource> { throw Error("no trace here"); },
                  [] {});
  session.open("x");
  for (bool idle = false; !idle; sleep_a_little()) idle = session.idle(), session.update();
  EXPECT_EQ(session.open_error(), "no trace here");
}

TEST(Session, TooLittleMemoryIsSaidWithTheOptionThatGivesMore) {
  Rig rig({}, {.n_thread = 1, .memory = 3'000'000});
  rig.open();
  EXPECT_NE(rig.session.replay_error().find("--memory 0.0"), std::string::npos) << rig.session.replay_error();
}

// What nobody knows was drawn as a loss of zero, the best there is.
TEST(Session, UnknownIsNotZero) {
  Rig rig({.values = false, .layers = {1, 4}});
  rig.open();
  EXPECT_EQ(rig.session.selection().layer, 4) << "the stored layer nearest to the middle";
  EXPECT_TRUE(std::isnan(rig.in_map(LayerMeasure::lost_mass, 0, 1)));
  EXPECT_EQ(rig.session.why_unknown(LayerMeasure::lost_mass, 0), "the trace does not store this layer");
  EXPECT_FALSE(std::isnan(rig.in_map(LayerMeasure::lost_mass, 4, 1)));
  EXPECT_TRUE(std::isnan(rig.in_map(LayerMeasure::output_error, 4, 1)));
  EXPECT_EQ(rig.session.why_unknown(LayerMeasure::output_error, 4), "the trace has no values");
  Settings h2o("h2o");
  h2o.set("K", int64_t{60});
  rig.session.set_settings(h2o);
  rig.settle();
  ASSERT_EQ(rig.session.replay_error(), "");
  EXPECT_TRUE(std::isnan(rig.in_map(LayerMeasure::lost_overlap, 1, 9)));
  EXPECT_FALSE(std::isnan(rig.in_map(LayerMeasure::lost_mass, 1, 9)));
  EXPECT_EQ(time_in_words(rig.session).text, "no time predicted: the trace does not store all layers");
}

TEST(Session, LayersThatAreNotStoredAreSteppedOver) {
  Rig rig({.layers = {1, 4, 5}});
  rig.open();
  rig.session.select_layer(4);
  rig.session.select_layer(3);
  EXPECT_EQ(rig.session.selection().layer, 1);
  rig.session.select_layer(2);
  EXPECT_EQ(rig.session.selection().layer, 4);
  rig.session.select_layer(100);
  EXPECT_EQ(rig.session.selection().layer, 5);
  rig.settle();
  EXPECT_EQ(rig.session.replay_error(), "");
}

TEST(Session, ASettingThatIsNoneIsNeitherSavedNorShownAsReplayed) {
  const std::filesystem::path file = std::filesystem::path(::testing::TempDir()) / "reattend_invalid.toml";
  std::filesystem::remove(file);
  Rig rig;
  rig.open();
  EXPECT_TRUE(rig.session.layer_is_current());
  Settings settings("recycled");
  settings.set("S", std::vector<std::string>{"4", "8", "16"});
  rig.session.set_settings(settings);
  rig.settle();
  EXPECT_NE(rig.session.setting_error(), "");
  EXPECT_EQ(rig.session.replay_error(), rig.session.setting_error());
  EXPECT_FALSE(rig.session.layer_is_current());
  EXPECT_FALSE(rig.session.total_is_current());
  try {
    save_settings(rig.session, file, false);
    FAIL() << "every other command would refuse the file";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(rig.session.setting_error()), std::string::npos) << error.what();
  }
  EXPECT_FALSE(std::filesystem::exists(file));
  rig.session.set_settings(with_budget(20));
  rig.settle();
  EXPECT_EQ(rig.session.setting_error(), "");
  EXPECT_TRUE(rig.session.layer_is_current());
}

// Contexts whose rows exceed the memory: all of them can be seen, and those that are looked at have their exact
// weights.
TEST(Rows, WhatIsLookedAtHasItsWeightsAndTheRestItsLevels) {
  ThreadPool pool(2);
  BackgroundTasks tasks(2, [] {});
  const SyntheticShape shape = {.n_prompt = 300, .n_step = 200};
  const auto replayer = std::make_shared<Replayer>(make_synthetic_source(shape), pool);
  const int64_t bytes = exact_bytes(kTileSteps, shape.n_prompt + shape.n_step);
  RowTiles tiles(tasks, {}, replayer, bytes);
  const auto settle = [&] {
    tiles.update();
    for (; tasks.activity().busy || tiles.has_news(); tiles.update()) sleep_a_little();
  };
  const auto has = [&](int32_t step) { return tiles.row_of_step(step) != nullptr; };
  tiles.look_at(1, 0, 100);
  settle();
  EXPECT_TRUE(tiles.all());
  EXPECT_TRUE(has(100));
  EXPECT_FALSE(has(20)) << "its weights do not fit as well";
  EXPECT_LE(tiles.bytes(), bytes + coarse_bytes(shape.n_step + kTileSteps, shape.n_prompt + shape.n_step));

  tiles.show_step(20);
  settle();
  ASSERT_TRUE(has(20));
  EXPECT_NEAR(tiles.row_of_step(20)[3], synthetic_weight(shape, 1, 0, 20, 3), 1e-6);
  EXPECT_FALSE(has(100));
  EXPECT_TRUE(tiles.all()) << "its levels stay";

  tiles.show({.steps = {}, .under_mouse = 190});
  settle();
  EXPECT_TRUE(has(20)) << "what is selected goes before what the mouse is on";
  tiles.look_at(2, 1, 20);
  EXPECT_FALSE(tiles.any()) << "nothing of another layer is shown";
  settle();
  EXPECT_NEAR(tiles.row_of_step(20)[3], synthetic_weight(shape, 2, 1, 20, 3), 1e-6);
}

// A trace that is cut while it is open failed once a frame.
TEST(Rows, WhatCannotBeReadIsAskedForOnce) {
  ThreadPool pool(1);
  BackgroundTasks tasks(2, [] {});
  RowTiles tiles(tasks, {}, std::make_shared<Replayer>(make_synthetic_source({.layers = {1}}), pool), 1'000'000);
  tiles.look_at(77, 0, 1);  // no such layer
  int n_failure = 0;
  for (int i = 0; i < 50; ++i, sleep_a_little()) {
    tiles.update();
    n_failure += static_cast<int>(tasks.take_failures().size());
  }
  EXPECT_EQ(n_failure, 1);
}

}  // namespace
}  // namespace reattend::viz::testing
