// The baseline: every number beside the trial's is that of a replay of its own, under whatever policy, and what cannot
// be compared is said.
#include <cmath>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "policies/policy.h"
#include "session_rig.h"
#include "tune/judge.h"
#include "viz/panels/panel_tables.h"
#include "viz/session/baseline.h"
#include "viz/session/differences.h"
#include "viz/session/state_keeping.h"
#include "viz/session/tried.h"

namespace reattend::viz::testing {
namespace {

const SyntheticShape kShape = {.n_layer = 5, .n_head = 4, .n_prompt = 128, .n_step = 24, .sha256 = kSmolLM2};

struct BaselineRig : Rig {
  explicit BaselineRig(const SyntheticShape& made = kShape) : Rig(made) { open(); }
  Baseline& baseline() { return session.data<Baseline>(); }
  void pin(const Settings& settings) {
    baseline().pin({settings, {}});
    settle();
  }
  /// A replay by itself.
  ReplayResult plain(const Settings& settings, bool sets = false) {
    ThreadPool pool(1);
    Replayer replayer(make_synthetic_source(shape), pool);
    ReplayRequest request = reattend::request_to_judge(session.tuning()->prediction, settings, {});
    request.output_error = shape.values, request.keep_sets = sets;
    return replayer.run(request, {}, {});
  }
  Metrics plain_metrics(const Settings& settings) { return judge(*session.tuning(), 0, plain(settings).layers); }
};

void expect_same(const Metrics& a, const Metrics& b) {
  for (const auto field : {&Metrics::cost, &Metrics::speed_up, &Metrics::estimate, &Metrics::predicted_kl,
                           &Metrics::lost, &Metrics::output_error_mean, &Metrics::output_error_p95}) {
    EXPECT_TRUE(a.*field == b.*field || (std::isnan(a.*field) && std::isnan(b.*field))) << a.*field << " " << b.*field;
  }
}

TEST(Baseline, DifferencesAreThoseOfTwoReplaysUnderEveryPolicy) {
  for (const SyntheticShape& shape :
       {kShape, SyntheticShape{.n_layer = 4, .n_head = 4, .n_prompt = 64, .n_step = 12, .values = false}}) {
    BaselineRig rig(shape);
    const Settings pinned = with_budget(40);
    rig.pin(pinned);
    const Metrics before = rig.plain_metrics(pinned);
    const ReplayResult replayed = rig.plain(pinned);
    ASSERT_NE(rig.baseline().judged(), nullptr);
    expect_same(rig.baseline().judged()->metrics, before);
    for (const PolicyInfo& policy : policy_registry()) {
      const Settings settings = pinned.under(policy.name);
      rig.session.set_settings(settings);
      rig.settle();
      const Metrics now = rig.plain_metrics(settings);
      const GoalText text = difference_in_words(rig.session);
      if (settings == pinned) {
        EXPECT_EQ(text.text, "this is the baseline S=10 K=40");
        continue;
      }
      EXPECT_TRUE(text.current) << policy.name;
      const bool has_kl = !std::isnan(now.predicted_kl);
      const double harm = has_kl ? now.predicted_kl - before.predicted_kl : now.estimate - before.estimate;
      if (harm != 0 && !std::isnan(harm)) {
        const std::string part = fmt::format("{:.2g} {}", std::abs(harm), harm < 0 ? "lower" : "higher");
        EXPECT_NE(text.text.find(part), std::string::npos) << policy.name << ": " << text.text;
      }
      if (std::abs(now.cost - before.cost) >= 0.005) {
        const std::string part = fmt::format("{:.2g} ms/token {}", std::abs(now.cost - before.cost),
                                             now.cost > before.cost ? "slower" : "faster");
        EXPECT_NE(text.text.find(part), std::string::npos) << policy.name << ": " << text.text;
      }
      ASSERT_NE(baseline_total(rig.session), nullptr);
      EXPECT_EQ(baseline_total(rig.session)->recovered, replayed.total.recovered);
      for (int32_t l = 0; l < shape.n_layer; ++l) {
        EXPECT_EQ(baseline_layer(rig.session, l)->lost, replayed.per_layer[static_cast<size_t>(l)].lost);
      }
    }
  }
}

TEST(Baseline, WhatItAttendsToIsKnownInWhateverLayerAndHeadIsLookedAt) {
  BaselineRig rig;
  const Settings pinned = with_budget(20);
  rig.pin(pinned);
  rig.session.set_settings(with_budget(60));
  const ReplayResult replayed = rig.plain(pinned, true);
  for (const int32_t layer : {0, 3}) {
    for (const int32_t head : {1, 0}) {
      rig.session.select_layer(layer), rig.session.select_kv_head(head);
      rig.settle();
      for (int32_t t = 1; t <= kShape.n_step; ++t) {
        const auto& set = replayed.layers[static_cast<size_t>(layer)].sets[static_cast<size_t>((t - 1) * 2 + head)];
        int n = 0;
        for (int32_t p = 0; p < kShape.n_prompt + t; ++p) {
          const bool kept = set.holds(p);
          ASSERT_EQ(baseline_attends(rig.session, t, p), kept) << layer << " " << head << " " << t << " " << p;
          if (kept) ++n;
        }
        EXPECT_GT(n, 0);
      }
    }
  }
}

// A trace of some layers has no KL, but what it has can be compared.
TEST(Baseline, OfSomeLayersWhatIsThereIsCompared) {
  SyntheticShape shape = kShape;
  shape.layers = {1, 3};
  BaselineRig rig(shape);
  rig.pin(with_budget(40));
  rig.session.set_settings(with_budget(80));
  rig.settle();
  EXPECT_EQ(baseline_layer(rig.session, 0), nullptr);
  const ReplayResult replayed = rig.plain(with_budget(40));
  EXPECT_EQ(baseline_layer(rig.session, 3)->lost, replayed.per_layer[1].lost);
  EXPECT_EQ(baseline_total(rig.session)->lost, replayed.total.lost);
}

TEST(Baseline, HeldAgainstTheTrialItIsShownAtOnceAndLeavesItAsItWas) {
  BaselineRig rig;
  rig.session.set_settings(with_budget(40));
  rig.settle();
  pin_trial(rig.session);
  rig.session.set_settings(with_budget(90));
  rig.settle();
  const double trial = rig.session.total()->recovered;
  rig.session.show_instead(rig.baseline().answer());
  EXPECT_FALSE(rig.session.shows_trial());
  EXPECT_EQ(rig.session.settings(), with_budget(40));
  EXPECT_EQ(rig.session.total()->recovered, rig.plain(with_budget(40)).total.recovered);
  EXPECT_TRUE(rig.session.total_is_current() && rig.session.layer_is_current());
  rig.settle();
  rig.session.show_trial();
  EXPECT_EQ(rig.session.settings(), with_budget(90));
  EXPECT_EQ(rig.session.total()->recovered, trial);
  EXPECT_TRUE(rig.session.total_is_current() && rig.session.layer_is_current());
  // An answer that comes meanwhile is the trial's.
  rig.session.set_settings(with_budget(70));
  rig.session.show_instead(rig.baseline().answer());
  rig.settle();
  EXPECT_EQ(rig.session.settings(), with_budget(40));
  rig.session.show_trial();
  EXPECT_EQ(rig.session.total()->recovered, rig.plain(with_budget(70)).total.recovered);
  EXPECT_TRUE(rig.session.total_is_current());
}

/// A session whose second trace is of another shape.
struct TwoTraces {
  explicit TwoTraces(const SyntheticShape& second)
      : session(
            [second](const std::filesystem::path& path) -> std::shared_ptr<ReplaySource> {
              if (path == "none.h5") throw Error("none.h5: expected a trace, got no such file");
              return make_synthetic_source(path == "second.h5" ? second : kShape);
            },
            [] {}, {.n_thread = 2}) {
    session.open("trace.h5");
    settle();
  }
  void settle() {
    for (bool idle = false; !idle; sleep_a_little()) idle = session.idle(), session.update();
  }
  Session session;
};

TEST(Baseline, ASecondTraceIsReplayedUnderTheSettingAndComparedInWords) {
  SyntheticShape second = kShape;
  second.n_step = 20;
  TwoTraces rig(second);
  rig.session.set_settings(with_budget(50));
  rig.settle();
  pin_file(rig.session, "second.h5");
  rig.settle();
  ASSERT_EQ(rig.session.data<Baseline>().error(), "");
  ThreadPool pool(1);
  Replayer replayer(make_synthetic_source(second), pool);
  const TuneResult& there = *rig.session.data<Baseline>().tuning();
  const ReplayResult replayed = replayer.run(reattend::request_to_judge(there.prediction, with_budget(50), {}), {}, {});
  expect_same(rig.session.data<Baseline>().judged()->metrics, judge(there, 0, replayed.layers));
  const GoalText text = difference_in_words(rig.session);
  EXPECT_NE(text.text.find("the baseline second.h5 under S=10 K=50"), std::string::npos) << text.text;
  EXPECT_NE(text.help.find("steps: 24 behind 128 tokens here, 20 behind 128 there"), std::string::npos) << text.help;
  EXPECT_EQ(baseline_layer(rig.session, 2)->lost, replayed.per_layer[2].lost);
  const std::optional<BaselineLayer> lane = baseline_lane(rig.session);
  ASSERT_TRUE(lane);
  EXPECT_FALSE(lane->same_steps);
  EXPECT_EQ(lane->name, "second.h5");
  EXPECT_EQ(lane->info->n_step, 20);
  EXPECT_EQ(lane->replay->full, replayed.layers[static_cast<size_t>(rig.session.selection().layer)].full);
  const auto bands = rig.session.data<Baseline>().bands();
  ASSERT_TRUE(bands) << "its strip is drawn over the open trace's";
  ASSERT_EQ(bands->most_lost.size(), 20U) << "of its own steps";
  for (size_t t = 0; t < 20; ++t) {
    float most = 0;
    for (const LayerReplay& layer : replayed.layers) {
      for (size_t g = 0; g < 2; ++g) most = std::max(most, 1 - layer.recovered[t * 2 + g]);
    }
    EXPECT_EQ(bands->most_lost[t], most);
  }
  EXPECT_EQ(baseline_attends(rig.session, 1, 0), std::nullopt);
}

TEST(Baseline, OfAnotherModelsTraceOnlyTimesAreCompared) {
  SyntheticShape second = kShape;
  second.n_layer = 3, second.sha256 = kGemma;
  TwoTraces rig(second);
  rig.settle();
  pin_file(rig.session, "second.h5");
  rig.settle();
  const GoalText text = difference_in_words(rig.session);
  EXPECT_EQ(text.text.find("KL"), std::string::npos) << text.text;
  EXPECT_NE(text.text.find("ms/token"), std::string::npos) << text.text;
  EXPECT_NE(text.help.find("KL: it is another model's; layers: 5 of 2 KV heads here, 3 of 2 there"), std::string::npos)
      << text.help;
  EXPECT_EQ(baseline_layer(rig.session, 1), nullptr);
  EXPECT_FALSE(baseline_lane(rig.session)) << "its layers are others";
}

TEST(Baseline, ATraceThatCannotBeOpenedIsSaidAndNothingElseSuffers) {
  TwoTraces rig(kShape);
  pin_file(rig.session, "none.h5");
  rig.settle();
  EXPECT_EQ(rig.session.data<Baseline>().error(), "none.h5: expected a trace, got no such file");
  EXPECT_EQ(difference_in_words(rig.session).text, "the baseline none.h5 under S=10 K=64 cannot be replayed");
  EXPECT_EQ(rig.session.replay_error(), "");
  EXPECT_NE(rig.session.total(), nullptr);
}

TEST(Tried, EverySettingThatBecameKnownIsKeptWithItsNumbers) {
  BaselineRig rig;
  for (const int64_t k : {40, 80, 40, 60}) rig.session.set_settings(with_budget(k)), rig.settle();
  Tried& tried = rig.session.data<Tried>();
  ASSERT_EQ(tried.settings().size(), 4U) << "the one that it began with, and three more";
  for (const TriedSetting& each : tried.settings()) expect_same(each.metrics, rig.plain_metrics(each.settings));
  const std::vector<size_t> front = front_of(tried.settings(), true);
  for (size_t i = 1; i < front.size(); ++i) {
    const Metrics &a = tried.settings()[front[i - 1]].metrics, &b = tried.settings()[front[i]].metrics;
    EXPECT_TRUE(a.cost < b.cost && a.predicted_kl > b.predicted_kl);
  }
  const reattend::Table table = tried_table(rig.session);
  ASSERT_EQ(table.rows.size(), tried.settings().size());
  EXPECT_EQ(std::get<double>(table.rows[1][1]), rig.plain_metrics(with_budget(40)).predicted_kl) << "exactly, for CSV";
  tried.add_measured(with_budget(80), {.kl = 0.5});
  EXPECT_EQ(tried.settings().size(), 4U);
  tried.add_measured(with_budget(81), {.kl = 0.25});
  EXPECT_EQ(tried.settings().size(), 5U);
  EXPECT_EQ(tried.known(with_budget(81)), nullptr) << "no replay has looked at it";
  rig.session.set_settings(with_budget(81)), rig.settle();
  expect_same(*tried.known(with_budget(81)), rig.plain_metrics(with_budget(81)));
  EXPECT_EQ(tried.known(with_budget(81))->measured->kl, 0.25) << "and what was measured stays";
  tried.forget(with_budget(81)), rig.settle();
  EXPECT_EQ(tried.known(with_budget(81)), nullptr) << "though it is under trial";
}

}  // namespace
}  // namespace reattend::viz::testing
