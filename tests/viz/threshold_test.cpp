// Thresholds: what is said of a gate must be what the replay decides, and a line that is dragged must stop where
// decisions change.
#include <algorithm>
#include <cmath>
#include <random>
#include <set>

#include <gtest/gtest.h>

#include "replay/analysis/analyse.h"
#include "session_rig.h"
#include "viz/panels/gate_inset.h"
#include "viz/session/gates.h"

namespace reattend::viz::testing {
namespace {

Settings gated(int64_t stride, double threshold) {
  Settings settings("recycled");
  settings.set("S", stride);
  settings.set("schedule", std::string("query"));
  settings.set("threshold", threshold);
  return settings;
}

class Thresholds : public ::testing::Test {
 protected:
  Thresholds() { rig.open(); }
  DueSteps due(const Settings& settings) {
    rig.session.set_settings(settings);
    rig.settle();
    return due_steps(*rig.session.layer(), settings, rig.session.trace()->info);
  }
  /// A gate every fourth step that refreshes some of the steps and leaves others.
  Settings deciding_gate(const char* granularity = "layer") {
    for (const double threshold : {0.99, 0.97, 0.93, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5}) {
      Settings settings = gated(4, threshold);
      settings.set("granularity", std::string(granularity));
      const GateCount count = due(settings).count;
      if (count.n_refreshed > 0 && count.n_refreshed < count.n_due) return settings;
    }
    ADD_FAILURE() << "no threshold decides: a test of nothing";
    return gated(4, 0.5);
  }
  /// Frames until it is known.
  template <class Ask>
  auto known(const Ask& ask) {
    auto found = ask();
    for (; !found; sleep_a_little()) rig.session.update(), found = ask();
    return found;
  }
  Rig rig;
};

TEST_F(Thresholds, TheShareShownIsWhatTheReplayDecided) {
  for (const char* granularity : {"layer", "kv_head"}) {
    const DueSteps found = due(deciding_gate(granularity));
    const LayerReplay& layer = *rig.session.layer();
    int64_t n_due = 0, n_refreshed = 0;
    for (int32_t t = 4; t <= rig.shape.n_step; t += 4) {
      for (int32_t g = 0; g < rig.shape.n_kv_head; ++g) {
        ++n_due;
        n_refreshed += layer.full[static_cast<size_t>((t - 1) * rig.shape.n_kv_head + g)];
      }
    }
    EXPECT_TRUE(found.decides);
    EXPECT_EQ(found.count.n_due, n_due);
    EXPECT_EQ(found.count.n_refreshed, n_refreshed);
    EXPECT_EQ(found.count.apart, rig.session.layer_summary()->effective_stride);
  }
}

TEST_F(Thresholds, WordsSayShareAndDistance) {
  EXPECT_EQ(in_words({.n_due = 16, .n_refreshed = 5, .apart = 12.8}),
            "refreshes 31 % of due steps \u2192 12.8 steps apart");
  EXPECT_EQ(in_words({.n_due = 4, .n_refreshed = 0, .apart = HUGE_VAL}), "refreshes 0 % of due steps \u2192 never");
  EXPECT_EQ(in_words({}), "no step is due");
}

TEST_F(Thresholds, DecidingOnesAreTheSimilaritiesAtDueStepsSorted) {
  const DueSteps found = due(deciding_gate());
  const LayerReplay& layer = *rig.session.layer();
  std::set<double> expected;
  for (int32_t t = 4; t <= rig.shape.n_step; t += 4) {
    for (int32_t g = 0; g < rig.shape.n_kv_head; ++g) {
      expected.insert(layer.cos[static_cast<size_t>((t - 1) * rig.shape.n_kv_head + g)]);
    }
  }
  EXPECT_EQ(deciding_thresholds(found), std::vector<double>(expected.begin(), expected.end()));
}

// Whoever drags the line wants a number to remember; it must not decide anything else.
TEST_F(Thresholds, RoundingChangesNoDecisionAndKeepsThreeDigitsWhereItCan) {
  const std::vector<double> deciding = {0.70003, 0.8, 0.80004, 0.80005, 0.93};
  std::mt19937 random(7);
  std::uniform_real_distribution<double> between(0.6, 1);
  for (int i = 0; i < 2000; ++i) {
    const double threshold = i < 5 ? deciding[static_cast<size_t>(i)] : between(random);
    for (const bool or_equal : {false, true}) {
      const double rounded = rounded_threshold(threshold, deciding, or_equal);
      const double thousandth = std::round(threshold * 1000) / 1000;
      const auto decisions = [&](double x) {
        std::vector<bool> out;
        for (const double each : deciding) out.push_back(or_equal ? each >= x : each > x);
        return out;
      };
      EXPECT_EQ(decisions(rounded), decisions(threshold)) << threshold;
      const bool three_would_do = decisions(thousandth) == decisions(threshold);
      if (three_would_do) {
        EXPECT_EQ(rounded, thousandth);
      }
    }
  }
  EXPECT_EQ(rounded_threshold(0.80003, deciding, false), 0.8);
  EXPECT_EQ(rounded_threshold(0.800045, deciding, false), 0.80004);
}

TEST_F(Thresholds, TheLineSnapsToWhatChangesADecision) {
  const std::vector<double> deciding = {0.7, 0.81237, 0.93};
  EXPECT_EQ(snapped_threshold(0.8121, 0.001, deciding, false), 0.813) << "the step at 0.81237 is refreshed";
  EXPECT_EQ(snapped_threshold(0.8121, 0.0001, deciding, false), 0.812) << "out of reach";
  EXPECT_EQ(snapped_threshold(0.9304, 0.001, deciding, false), 0.93);
  EXPECT_EQ(snapped_threshold(0.5123456, 0.001, deciding, false), 0.512);
}

TEST_F(Thresholds, AFixedScheduleIsToldWhatAGateWouldDo) {
  const Settings gate = deciding_gate();
  Settings fixed = gate;
  fixed.set("schedule", std::string("fixed"));
  const DueSteps found = due(fixed);
  EXPECT_FALSE(found.decides);
  EXPECT_EQ(found.count.n_refreshed, found.count.n_due);
  const int32_t layer = rig.session.selection().layer;
  auto& counts = rig.session.data<GateCounts>();
  const GateCount would = *known([&] { return counts.ask(gate, layer); });
  const DueSteps really = due(gate);
  EXPECT_EQ(would.n_refreshed, really.count.n_refreshed);
  EXPECT_EQ(would.apart, really.count.apart);
  EXPECT_LT(would.n_refreshed, would.n_due);
}

TEST_F(Thresholds, PoliciesThatCompareNothingSayWhy) {
  const TraceInfo& info = rig.session.trace()->info;
  EXPECT_EQ(why_no_similarity(gated(4, 0.9), info, 3), "");
  EXPECT_EQ(why_no_similarity(Settings("tokenselect"), info, 3), "");
  for (const char* policy : {"h2o", "quest", "full", "streaming"}) {
    EXPECT_NE(why_no_similarity(Settings(policy), info, 3).find(policy), std::string::npos);
    EXPECT_TRUE(due_steps(*rig.session.layer(), Settings(policy), info).steps.empty());
  }
}

TEST_F(Thresholds, TheBestOneIsTheBestOfAll) {
  const Settings settings = gated(4, 0.93);
  rig.session.set_settings(settings);
  rig.settle();
  const int32_t layer = rig.session.selection().layer;
  constexpr double kRho = 0.97;
  const GatePage page = *known([&]() -> std::optional<GatePage> {
    const GatePage* const now = rig.session.data<GatePages>().ask(kRho);
    if (now == nullptr || now->n_done < now->n_layer) return std::nullopt;
    return *now;
  });
  ASSERT_EQ(page.layer, layer);
  ThreadPool pool(2);
  Replayer replayer(make_synthetic_source(rig.shape), pool);
  AnalysisRequest request;
  request.what = {Analysis::gate};
  request.settings = settings;
  fill_in(request, replayer.info());
  const std::vector<GateCases> all = analyse(replayer, {}, request, pool, {}, {}).gate.front();
  for (const auto& [curve, cases] :
       {std::pair{&page.own, std::span(&all[static_cast<size_t>(layer)], 1)}, std::pair{&page.all, std::span(all)}}) {
    ASSERT_TRUE(curve->has_both()) << "a test of nothing";
    double best = -1;
    for (const GateCases& each : cases) {
      for (const float cosine : each.cosine[0]) {
        for (const double threshold : {double{cosine}, std::nextafter(double{cosine}, -2.0)}) {
          best = std::max(best, gate_score(cases, 0, kRho, threshold).youden());
        }
      }
    }
    const GateScore& found = curve->points[curve->best];
    EXPECT_EQ(found.youden(), best);
    EXPECT_EQ(gate_score(cases, 0, kRho, found.threshold).youden(), best) << "taking it must give what it promises";
  }
}

TEST_F(Thresholds, OneForALayerLeavesTheOthersAlone) {
  const Settings own = with_threshold(gated(4, 0.93), 0.8, 2, rig.shape.n_layer);
  for (int32_t l = 0; l < rig.shape.n_layer; ++l) EXPECT_EQ(own.real("threshold", l), l == 2 ? 0.8 : 0.93);
  const Settings all = with_threshold(own, 0.7, std::nullopt, rig.shape.n_layer);
  for (int32_t l = 0; l < rig.shape.n_layer; ++l) EXPECT_EQ(all.real("threshold", l), 0.7);
}

}  // namespace
}  // namespace reattend::viz::testing
