// Heads and curves: what is shown of a head is what the replay found, and curves are those of `reattend analyse`.
#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "replay/analysis/analyse.h"
#include "session_rig.h"
#include "viz/session/curves.h"
#include "viz/session/head_grid.h"

namespace reattend::viz::testing {
namespace {

const LayerCurves& wait_for_curves(Rig& rig) {
  for (;; sleep_a_little()) {
    rig.session.update();
    const LayerCurves* const found = rig.session.data<Curves>().ask();
    if (found != nullptr && rig.session.idle() && found->layer == rig.session.selection().layer) return *found;
  }
}

TEST(Curves, AreThoseOfAnalyse) {
  Rig rig({.n_layer = 3, .n_prompt = 300, .n_step = 40});
  rig.open();
  Settings small = with_budget(24), summed = with_budget(50);
  summed.set("reduce", std::string("mean"));
  summed.set("pool", int64_t{3});
  for (const Settings& settings : {small, summed}) {
    for (const int32_t layer : {0, 2}) {
      rig.session.set_settings(settings);
      rig.session.select_layer(layer);
      rig.settle();
      wait_for_curves(rig);
      rig.settle();
      const LayerCurves& shown = wait_for_curves(rig);
      ThreadPool pool(1);
      Replayer replayer(make_synthetic_source(rig.shape), pool);
      const AnalysisRequest request = {
          .what = {Analysis::coverage, Analysis::overlap}, .settings = settings, .layers = {layer}};
      const StepData recorded = make_synthetic_source(rig.shape)->steps();
      const AnalysisResult all = analyse(replayer, recorded, request, pool, {}, {});
      ASSERT_EQ(shown.budget, settings.count("K", layer, rig.shape.n_prompt));
      ASSERT_EQ(shown.budgets, all.request.curve);
      for (size_t i = 0; i < shown.budgets.size(); ++i) {
        const Spread at = coverage_spread({&all.coverage[0], 1}, &LayerCoverage::mass, i);
        EXPECT_EQ(shown.mass[i].mean, at.mean) << shown.budgets[i];
        EXPECT_EQ(shown.mass[i].p05, at.p05);
      }
      const LayerOverlap& aged = all.overlap[0];  // its first lag is the setting's own
      ASSERT_EQ(std::vector(aged.lags.begin() + 1, aged.lags.end()), shown.lags);
      for (size_t lag = 0; lag < shown.lags.size(); ++lag) {
        const AgedMeans at = aged_means({&aged, 1}, lag + 1, 0);
        EXPECT_EQ(shown.aged[lag].overlap, at.overlap) << shown.lags[lag];
        EXPECT_EQ(shown.aged[lag].attended, at.attended) << shown.lags[lag];
        EXPECT_EQ(shown.aged[lag].n, at.n);
      }
    }
  }
}

TEST(Curves, ASettingThatChangesNothingOfThemAsksNothing) {
  Rig rig({.n_layer = 3});
  rig.open();
  const LayerCurves* const before = &wait_for_curves(rig);
  Settings often = rig.session.settings();
  often.set("S", int64_t{3});
  rig.session.set_settings(often);
  rig.settle();
  EXPECT_EQ(&wait_for_curves(rig), before) << "a stride is no part of how sets age";
}

TEST(HeadGrid, ValuesAreTheReplaysAndUnknownOnesAreNoNumbers) {
  Rig rig({.n_layer = 5, .n_step = 130, .layers = {1, 3}});
  rig.open();
  const TraceInfo& info = rig.session.trace()->info;
  for (const LayerMeasure measure : {LayerMeasure::lost_mass, LayerMeasure::output_error, LayerMeasure::decision}) {
    const HeadPage page = head_page(*rig.session.answer(), info, measure);
    ASSERT_EQ(page.heads.size(), 5U * 2U);
    for (const HeadStory& head : page.heads) {
      const auto& layer = rig.session.answer()->layers[static_cast<size_t>(head.layer)];
      ASSERT_EQ(layer != nullptr, head.layer == 1 || head.layer == 3);
      if (!layer) {
        EXPECT_TRUE(std::isnan(head.mean) && std::isnan(head.p95) && std::isnan(head.largest[0]));
        continue;
      }
      const int32_t group = info.n_head / info.n_kv_head;
      double sum = 0, most = 0;
      for (int32_t s = 0; s < info.n_step; ++s) {
        const auto cell = static_cast<size_t>(s * info.n_kv_head + head.kv_head);
        double value = measure == LayerMeasure::decision ? layer->full[cell] : 1 - double{layer->recovered[cell]};
        if (measure == LayerMeasure::output_error) {
          value = 0;
          for (int32_t q = 0; q < group; ++q) {
            value +=
                double{layer->output_error[static_cast<size_t>(s * info.n_head + head.kv_head * group + q)]} / group;
          }
        }
        sum += value, most = std::max(most, value);
      }
      EXPECT_NEAR(head.mean, sum / info.n_step, 1e-6);
      EXPECT_NEAR(*std::max_element(head.largest.begin(), head.largest.end()), most, 1e-6);
      EXPECT_LE(head.p95, most + 1e-6);
    }
  }
}

TEST(HeadGrid, FollowsTheSetting) {
  Rig rig({.n_layer = 2});
  rig.open();
  const auto page = [&] {
    auto& grid = rig.session.data<HeadGrid>();
    for (;; sleep_a_little()) {
      const auto found = grid.ask(LayerMeasure::lost_mass);
      rig.session.update();
      // The update may have taken a newer one.
      if (found != nullptr && rig.session.idle() && grid.ask(LayerMeasure::lost_mass) == found) return found;
    }
  };
  const auto before = page();
  EXPECT_EQ(page(), before) << "nothing is asked twice";
  rig.session.set_settings(with_budget(8));
  rig.settle();
  EXPECT_GT(page()->largest_mean, before->largest_mean) << "fewer positions lose more";
}

}  // namespace
}  // namespace reattend::viz::testing
