// The map of settings: every cell is the replay's own, the star is the tuner's choice, and nothing waits for it.
#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "policies/policy.h"
#include "replay/estimates.h"
#include "session_rig.h"
#include "tune/judge.h"
#include "viz/render/contours.h"
#include "viz/session/goal.h"
#include "viz/session/landscape.h"

namespace reattend::viz::testing {
namespace {

const SyntheticShape kShape = {.n_layer = 3, .n_head = 4, .n_prompt = 256, .n_step = 24, .sha256 = kSmolLM2};

struct MapRig : Rig {
  explicit MapRig(const SyntheticShape& made = kShape, const Means& means = {.n_thread = 2}) : Rig(made, means) {}
  /// As a panel asks: in every frame.
  const Landscape& frame() {
    session.update();
    const Axes axes = axes_of(session.settings(), session.trace()->info);
    return session.data<Landscapes>().ask(session, session.settings(), axes.across, axes.upwards);
  }
  const Landscape& whole() {
    for (;; sleep_a_little()) {
      const Landscape& map = frame();
      if (map.n_known == map.n_possible && session.idle()) return map;
    }
  }
};

void expect_replays(const MapRig& rig, const Landscape& map) {
  ThreadPool pool(1);
  Replayer replayer(make_synthetic_source(rig.shape), pool);
  const TuneResult& tuned = *rig.session.tuning();
  for (const LandscapeCell& cell : map.cells) {
    ASSERT_TRUE(cell.metrics.has_value());
    const ReplayResult plain = replayer.run(request_to_judge(tuned.prediction, cell.settings, {}), {}, {});
    const double estimate = find_estimate(tuned.prediction.estimate)->value({rig.shape.n_step, plain.layers});
    EXPECT_EQ(cell.metrics->estimate, estimate) << cell.settings.summary();
    EXPECT_EQ(cell.metrics->predicted_kl, tuned.prediction.kl(estimate));
    EXPECT_EQ(cell.metrics->cost, plain.total.ms_per_token);
    EXPECT_EQ(cell.metrics->lost, plain.total.lost);
  }
}

TEST(Landscape, EveryCellIsAReplay) {
  MapRig rig;
  rig.open();
  const Landscape& map = rig.whole();
  EXPECT_EQ(map.across.key, "S");
  EXPECT_EQ(map.upwards.key, "K");
  EXPECT_EQ(map.cells.size(), map.across.size() * map.upwards.size());
  EXPECT_GT(map.cells.size(), 60U);
  expect_replays(rig, map);
}

// Layers that do not fit beside each other are prepared anew for each replay: a few cells share that.
TEST(Landscape, EveryCellIsAReplayWhereMemoryIsShort) {
  MapRig rig(kShape, {.n_thread = 2, .memory = 7'000'000});
  rig.open();
  ASSERT_EQ(rig.session.replay_error(), "");
  expect_replays(rig, rig.whole());
}

// A slider is moved while the map grows: the setting is answered first, and what was found of the map is kept.
TEST(Landscape, IsNotInTheWayOfTheSetting) {
  MapRig rig;
  rig.open();
  while (rig.frame().n_known < 5) sleep_a_little();
  size_t known = 0;
  for (int64_t k = 20; k < 40; ++k) {
    rig.session.set_settings(with_budget(k));
    EXPECT_GE(rig.frame().n_known, known);
    known = rig.frame().n_known;
  }
  while (!rig.session.total_is_current()) rig.frame(), sleep_a_little();
  EXPECT_LT(rig.frame().n_known, rig.frame().n_possible) << "the test's map is too small to tell";
  EXPECT_GE(rig.whole().n_known, known);
}

TEST(Landscape, TheStarIsWhatTheTunerChooses) {
  MapRig rig;
  rig.open();
  for (const double max_kl : {0.3, 0.02, 1e-9}) {
    TuneBounds bounds;
    bounds.max_kl = max_kl;
    rig.session.set_bounds(bounds);
    rig.frame();
    const Landscape& map = rig.whole();
    ThreadPool pool(1);
    Replayer replayer(make_synthetic_source(rig.shape), pool);
    Replayer* const one[] = {&replayer};
    TuneOptions options;
    options.grid.bases = {Settings("recycled")};
    options.grid.tried = {{"S", map.across.values}, {"K", map.upwards.values}, {"schedule", {std::string("fixed")}}};
    options.bounds = bounds, options.n_schedule = 0, options.n_whole = 1000;
    const TuneResult result = tune(one, options, {}, {}, {});
    ASSERT_TRUE(map.best.has_value());
    EXPECT_EQ(map.cells[*map.best].settings, result.best().settings) << max_kl;
    EXPECT_EQ(map.judged.reason.beyond_bounds, result.reason.beyond_bounds);
    double cost = 0, estimate = HUGE_VAL;
    for (const size_t cell : map.front) {
      EXPECT_GE(map.cells[cell].metrics->cost, cost);
      EXPECT_LT(map.cells[cell].metrics->estimate, estimate);
      cost = map.cells[cell].metrics->cost, estimate = map.cells[cell].metrics->estimate;
    }
  }
}

TEST(Landscape, ACellThatIsKnownIsTheGoalAtOnce) {
  MapRig rig;
  rig.open();
  const Landscape& map = rig.whole();
  const LandscapeCell cell = map.cells[map.cell(3, 5)];
  rig.session.set_settings(cell.settings);
  rig.session.update();
  const Judged* const judged = rig.session.data<Goal>().judged();
  EXPECT_EQ(judged->settings, cell.settings);
  EXPECT_EQ(judged->metrics.predicted_kl, cell.metrics->predicted_kl);
  rig.settle();
}

TEST(Landscape, EveryPolicyHasAxesOfItsOwn) {
  TraceInfo info;
  info.n_prompt = 2048, info.n_layer = 4;
  const auto keys = [&](const char* policy) {
    const Axes axes = axes_of(Settings(policy), info);
    return axes.across.key + "/" + axes.upwards.key;
  };
  EXPECT_EQ(keys("recycled"), "S/K");
  EXPECT_EQ(keys("snapkv"), "/K");
  EXPECT_EQ(keys("sketch"), "min_weight/K");
  EXPECT_EQ(keys("tokenselect"), "threshold/K");
  EXPECT_EQ(keys("full"), "/");
  Settings settings("recycled");
  const Axes axes = axes_of(settings, info);
  EXPECT_EQ(threshold_axis(settings, axes).key, "threshold");
  EXPECT_EQ(number_of(settings, axes.upwards, info.n_prompt), 64);
  EXPECT_EQ(axes.upwards.place(32), 0) << "L/64";
  EXPECT_EQ(axes.upwards.place(64), 2) << "L/32";
  EXPECT_EQ(axes.upwards.place(1), -0.5);
  EXPECT_EQ(axes.upwards.place(5000), static_cast<double>(axes.upwards.size()) - 0.5);
  settings.set("S", std::monostate{});
  EXPECT_TRUE(std::isnan(number_of(settings, axes.across, info.n_prompt)));
  for (const PolicyInfo& policy : policy_registry()) {
    const Axes each = axes_of(Settings(policy.name), info);
    for (const Axis* const axis : {&each.across, &each.upwards}) {
      EXPECT_TRUE(std::ranges::is_sorted(axis->numbers)) << policy.name;
      for (size_t i = 0; i < axis->values.size(); ++i) {
        EXPECT_NO_THROW(at_places(Settings(policy.name), *axis, i)) << policy.name;
      }
    }
  }
}

TEST(Landscape, AnotherTraceBeginsAnew) {
  MapRig rig;
  rig.open();
  rig.whole();
  rig.session.open("other.h5");
  rig.settle();
  EXPECT_EQ(rig.session.data<Landscapes>().known(with_budget(64)), nullptr);
  EXPECT_EQ(rig.frame().n_known, 0U);
  rig.whole();
}

TEST(Contours, LinesLieWhereTheValueIs) {
  // x + 2y over 4 x 3 places.
  std::vector<double> values;
  for (int y = 0; y < 3; ++y) {
    for (int x = 0; x < 4; ++x) values.push_back(x + 2.0 * y);
  }
  const std::vector<Segment> lines = contour(values, 3, 4, 2.5);
  ASSERT_GE(lines.size(), 3U);
  for (const Segment& each : lines) {
    EXPECT_NEAR(each.from.x + 2 * each.from.y, 2.5, 1e-6);
    EXPECT_NEAR(each.to.x + 2 * each.to.y, 2.5, 1e-6);
  }
  values[5] = std::nan("");  // (1, 1): the four squares around it have no line
  for (const Segment& each : contour(values, 3, 4, 2.5)) EXPECT_GE(each.from.x, 2);
  EXPECT_TRUE(contour(values, 3, 4, 100).empty());
  EXPECT_EQ(round_levels(std::vector{7.2, 11.9, std::nan("")}, 5), (std::vector<double>{8, 9, 10, 11}));
  EXPECT_TRUE(round_levels(std::vector{3.0, 3.0}, 5).empty());
}

}  // namespace
}  // namespace reattend::viz::testing
