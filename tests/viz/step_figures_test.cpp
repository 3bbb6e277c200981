// Ranges, bands, playing and slices: figures over steps must be those that anybody would compute.
#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "session_rig.h"
#include "tests/support/descriptors.h"
#include "tests/traces/synthetic.h"
#include "viz/panels/minimap.h"
#include "viz/session/player.h"
#include "viz/session/slice_saver.h"
#include "viz/session/step_figures.h"

namespace reattend::viz::testing {
namespace {

/// The smallest value that at least the share of all do not exceed.
double plain_percentile(std::vector<float> values, double share) {
  std::sort(values.begin(), values.end());
  size_t n = 1;
  while (static_cast<double>(n) < share * static_cast<double>(values.size())) ++n;
  return values[n - 1];
}

class OverSteps : public ::testing::Test {
 protected:
  OverSteps() {
    rig.open();
    rig.session.set_settings(with_budget(40));
    rig.settle();
  }
  template <class Data, class Key>
  auto known(const Key& key) {
    auto found = rig.session.data<Data>().ask(key);
    for (; !found; sleep_a_little()) {
      rig.session.update();
      found = rig.session.data<Data>().ask(key);
    }
    return found;
  }
  const LayerReplay& layer(int32_t l) const { return *rig.session.answer()->layers[static_cast<size_t>(l)]; }
  Rig rig;
};

TEST_F(OverSteps, ARangesFiguresAreThoseOfItsSteps) {
  const auto page = known<RangeData>(RangeKey{{10, 30}, 3, 1});
  EXPECT_EQ(page->settings, rig.session.settings());
  std::vector<float> head, own, lost, all, errors;
  for (int32_t l = 0; l < rig.shape.n_layer; ++l) {
    for (int32_t t = 10; t <= 30; ++t) {
      for (int32_t g = 0; g < rig.shape.n_kv_head; ++g) {
        const float value = layer(l).recovered[static_cast<size_t>((t - 1) * rig.shape.n_kv_head + g)];
        all.push_back(value);
        if (l == 3) own.push_back(value), lost.push_back(1 - value);
        if (l == 3 && g == 1) head.push_back(value);
      }
      for (int32_t h = 3; h < 6 && l == 3; ++h) {  // the query heads of KV head 1
        errors.push_back(layer(3).output_error[static_cast<size_t>((t - 1) * rig.shape.n_head + h)]);
      }
    }
  }
  const auto m = static_cast<size_t>(StepMeasure::recovered);
  for (const auto& [of, values] : {std::pair{&page->head[m], &head},
                                   {&page->layers[3][m], &own},
                                   {&page->all[m], &all},
                                   {&page->layers[3][static_cast<size_t>(StepMeasure::lost)], &lost},
                                   {&page->head[static_cast<size_t>(StepMeasure::output_error)], &errors}}) {
    double sum = 0;
    for (const float x : *values) sum += x;
    EXPECT_EQ(of->n, static_cast<int64_t>(values->size()));
    EXPECT_DOUBLE_EQ(of->mean, sum / static_cast<double>(values->size()));
    EXPECT_EQ(of->p50, plain_percentile(*values, 0.5));
    EXPECT_EQ(of->p95, plain_percentile(*values, 0.95));
    EXPECT_EQ(of->p99, plain_percentile(*values, 0.99));
  }
}

// All steps as a range must say what the table of means says.
TEST_F(OverSteps, TheRangeOfAllStepsHasTheMeansOfTheReplay) {
  const auto page = known<RangeData>(RangeKey{{1, rig.shape.n_step}, 2, 0});
  const ReplaySummary& total = *rig.session.total();
  const auto mean = [&](StepMeasure measure) { return page->all[static_cast<size_t>(measure)].mean; };
  EXPECT_NEAR(mean(StepMeasure::recovered), total.recovered, 1e-12);
  EXPECT_NEAR(mean(StepMeasure::normalised), total.normalised, 1e-7);
  EXPECT_NEAR(mean(StepMeasure::overlap), total.overlap, 1e-12);
  EXPECT_NEAR(mean(StepMeasure::output_error), total.output_error_mean, 1e-12);
  EXPECT_NEAR(mean(StepMeasure::positions), total.positions, 1e-9);
}

TEST_F(OverSteps, BandsHoldATenthOnEitherSideAndTheMapTheMostThatIsLost) {
  const auto bands = known<StepBandsData>(EveryStep{});
  ASSERT_EQ(bands->most_lost.size(), static_cast<size_t>(rig.shape.n_step));
  for (int32_t t = 1; t <= rig.shape.n_step; ++t) {
    std::vector<float> values;
    for (int32_t l = 0; l < rig.shape.n_layer; ++l) {
      for (int32_t g = 0; g < rig.shape.n_kv_head; ++g) {
        values.push_back(layer(l).recovered[static_cast<size_t>((t - 1) * rig.shape.n_kv_head + g)]);
      }
    }
    const auto at = static_cast<size_t>(t - 1);
    EXPECT_EQ(bands->most_lost[at], 1 - *std::min_element(values.begin(), values.end()));
    EXPECT_EQ(bands->recovered.low[at], plain_percentile(values, 0.1));
    EXPECT_EQ(bands->recovered.high[at], plain_percentile(values, 0.9));
  }
}

TEST(Playing, GoesSoManyStepsASecondAndStopsAtTheEnd) {
  Player player;
  player.set_speed(20);
  player.start();
  int32_t step = 5;
  for (int frame = 0; frame < 90; ++frame) step = player.advance(step, 1000, 1.0 / 60);
  EXPECT_EQ(step, 5 + 30) << "a second and a half";
  EXPECT_TRUE(player.playing());
  for (int frame = 0; frame < 60; ++frame) step = player.advance(step, 40, 1.0 / 60);
  EXPECT_EQ(step, 40);
  EXPECT_FALSE(player.playing());
  player.set_speed(1000);
  EXPECT_EQ(player.speed(), Player::kFastest);
}

TEST(Window, IsDraggedAndResizedWithinTheTrace) {
  const Limits all{0.5, 100.5}, window{20.5, 40.5};
  const auto dragged = [&](WindowGrip grip, double delta) { return drag_window(window, grip, delta, all, 4); };
  const auto expect = [](Limits got, double low, double high) {
    EXPECT_DOUBLE_EQ(got.low, low);
    EXPECT_DOUBLE_EQ(got.high, high);
  };
  expect(dragged(WindowGrip::whole, 10), 30.5, 50.5);
  expect(dragged(WindowGrip::whole, -90), 0.5, 20.5);
  expect(dragged(WindowGrip::whole, 900), 80.5, 100.5);
  expect(dragged(WindowGrip::low, -90), 0.5, 40.5);
  expect(dragged(WindowGrip::low, 90), 36.5, 40.5);
  expect(dragged(WindowGrip::high, -90), 20.5, 24.5);
  expect(dragged(WindowGrip::high, 900), 20.5, 100.5);
}

TEST(Slices, ARangeBecomesATraceOfItsOwnAndReplacesNothingUnasked) {
  const test::ScratchFolder folder;
  const std::filesystem::path source = folder / "trace.h5", target = slice_path(source, {5, 12});
  EXPECT_EQ(target.filename(), "trace-5-12.h5");
  synthetic::write_trace(source, 20);
  Session session([](const std::filesystem::path& path) { return make_replay_source(TraceReader::open(path)); }, [] {},
                  {.n_thread = 2});
  session.open(source);
  const auto settle = [&] {
    for (bool idle = false; !idle; sleep_a_little()) idle = session.idle(), session.update();
  };
  settle();
  auto& saver = session.data<SliceSaver>();
  ThreadPool& pool = session.pool();
  const TraceSlice slice = {.first_step = 5, .last_step = 12, .layers = {}};
  saver.save(source, target, slice, false, pool);
  settle();
  EXPECT_EQ(saver.result(), "saved " + target.string() + ", 8 steps");
  EXPECT_EQ(TraceReader::open(target)->info().n_step, 8);
  saver.save(source, target, slice, false, pool);
  settle();
  EXPECT_TRUE(saver.failed());
  EXPECT_NE(saver.result().find(target.string()), std::string::npos);
  saver.save(source, target, slice, true, pool);
  settle();
  EXPECT_FALSE(saver.failed()) << saver.result();
  saver.save(source, source, slice, true, pool);
  settle();
  EXPECT_TRUE(saver.failed()) << "what is open would be lost";
  EXPECT_EQ(TraceReader::open(source)->info().n_step, 20);
}

}  // namespace
}  // namespace reattend::viz::testing
