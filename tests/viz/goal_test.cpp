// The goal over all panes: its numbers are the tuner's and the replay's own, and what is unknown is said, with why.
#include <cmath>

#include <gtest/gtest.h>

#include "base/error.h"
#include "policies/policy.h"
#include "session_rig.h"
#include "tune/tune.h"
#include "viz/session/goal.h"

namespace reattend::viz::testing {
namespace {

/// What `reattend tune` says of these settings on the trace, without schedules by layer.
TuneResult tuned(const SyntheticShape& shape, const Settings& base, const ValueLists& tried) {
  ThreadPool pool(2);
  Replayer replayer(make_synthetic_source(shape), pool);
  Replayer* const one[] = {&replayer};
  TuneOptions options;
  options.grid.bases = {base}, options.grid.tried = tried;
  options.n_schedule = 0, options.n_whole = 1000;
  return tune(one, options, {}, {}, {});
}

/// A drag over S and K: what the strip says of each place must be what a file saved there will get from the tuner.
TEST(Goal, NumbersAreTheTunersForEverySetting) {
  struct Case {
    SyntheticShape shape;
    const char* policy;
    const char* key;
    std::vector<Value> values;
  };
  const std::vector<Value> strides = {int64_t{2}, int64_t{5}, int64_t{11}, int64_t{64}};
  const std::vector<Value> weights = {0.0, 0.001, 0.002};
  const Case cases[] = {
      {{.n_step = 24, .sha256 = kSmolLM2}, "recycled", "S", strides},
      {{.n_step = 24, .values = false, .sha256 = kSmolLM2}, "recycled", "S", strides},
      {{.n_layer = 4, .n_step = 24, .sha256 = kGemma}, "sketch", "min_weight", weights},
  };
  for (const Case& each : cases) {
    ValueLists tried = {{"K", {int64_t{17}, int64_t{60}, std::string("L/2")}}, {each.key, each.values}};
    if (each.policy == std::string("recycled")) tried["schedule"] = {std::string("fixed")};
    const TuneResult result = tuned(each.shape, Settings(each.policy), tried);
    Rig rig(each.shape);
    rig.open();
    int n = 0;
    for (const Candidate& candidate : result.candidates) {
      rig.session.set_settings(candidate.settings);
      rig.settle();
      const Judged* const judged = rig.session.data<Goal>().judged();
      ASSERT_NE(judged, nullptr);
      EXPECT_EQ(judged->settings, candidate.settings);
      EXPECT_EQ(judged->metrics.predicted_kl, candidate.predicted_kl) << candidate.settings.summary();
      EXPECT_EQ(judged->metrics.estimate, candidate.estimate);
      EXPECT_EQ(judged->metrics.cost, candidate.cost);
      EXPECT_EQ(rig.session.total()->ms_per_token, candidate.cost) << "what `replay --json` says";
      EXPECT_FALSE(std::isnan(candidate.predicted_kl));
      EXPECT_TRUE(kl_in_words(rig.session).current);
      for (const GoalBound& bound : bounds_of(rig.session)) {
        EXPECT_EQ(bound.verdict == Verdict::within, candidate.within_bounds) << candidate.settings.summary();
      }
      ++n;
    }
    EXPECT_GE(n, 9);
  }
}

TEST(Goal, WhatIsUnknownIsSaidWithWhy) {
  {
    Rig rig;  // of no model that was studied
    rig.open();
    const GoalText kl = kl_in_words(rig.session);
    EXPECT_EQ(kl.text, "KL unknown: no study of this model");
    EXPECT_NE(kl.help.find("reattend verify"), std::string::npos) << kl.help;
    EXPECT_NE(kl.help.find("step_error_middle_rms = "), std::string::npos) << kl.help;
    const std::vector<GoalBound> bounds = bounds_of(rig.session);
    ASSERT_EQ(bounds.size(), 2U) << "stand in for the KL";
    EXPECT_EQ(bounds[0].bound.of, Bounded::output_error);
    EXPECT_NEAR(bounds[0].value, rig.session.total()->output_error_p95, 1e-12);
    EXPECT_NEAR(bounds[1].value, rig.session.total()->lost, 1e-12);
  }
  {
    Rig rig({.values = false, .sha256 = kSmolLM2});
    rig.open();
    EXPECT_NE(kl_in_words(rig.session).text.find(", from lost weights alone"), std::string::npos);
  }
  {
    Rig rig({.layers = {1, 4}, .sha256 = kSmolLM2});
    rig.open();
    EXPECT_EQ(kl_in_words(rig.session).text, "KL unknown: the trace does not store all layers");
    EXPECT_EQ(time_in_words(rig.session).text, "no time predicted: the trace does not store all layers");
  }
  {
    Rig rig({.sha256 = kSmolLM2, .calibrated = false});
    rig.open();
    EXPECT_EQ(time_in_words(rig.session).text, "no time predicted: the trace has no calibration");
    EXPECT_TRUE(kl_in_words(rig.session).text.starts_with("KL 0.")) << kl_in_words(rig.session).text;
  }
  {
    Rig rig({.sha256 = kSmolLM2});
    rig.open();
    rig.session.set_settings(Settings("sketch"));
    rig.settle();
    EXPECT_NE(kl_in_words(rig.session).text.find("sketch was not studied"), std::string::npos);
  }
}

TEST(Goal, SlowerIsNotCalledFasterAndAGuessIsCalledOne) {
  Rig rig;
  rig.open();
  const auto time_of = [&](const Settings& settings) {
    rig.session.set_settings(settings);
    rig.settle();
    return time_in_words(rig.session);
  };
  const GoalText fast = time_of(with_budget(20));
  EXPECT_NE(fast.text.find(" ms/token, full attention "), std::string::npos);
  EXPECT_TRUE(fast.text.ends_with(" times as fast")) << fast.text;
  EXPECT_TRUE(time_of(Settings("full")).text.ends_with(": as fast")) << time_in_words(rig.session).text;
  Settings eager = with_budget(400);
  eager.set("S", int64_t{1});
  EXPECT_TRUE(time_of(eager).text.ends_with(" times as slow")) << time_in_words(rig.session).text;
  Settings quest("quest");
  quest.set("K", int64_t{64});
  const GoalText guess = time_of(quest);
  EXPECT_TRUE(guess.text.ends_with("; a guess")) << guess.text;
  EXPECT_NE(guess.help.find("the calibration did not measure"), std::string::npos) << guess.help;
}

TEST(Goal, BoundsAreHeldAtOnceAndSurviveAnotherTrace) {
  Rig rig({.sha256 = kSmolLM2});
  rig.open();
  const double kl = rig.session.data<Goal>().judged()->metrics.predicted_kl, ms = rig.session.total()->ms_per_token;
  TuneBounds bounds;
  bounds.max_kl = kl * 0.9, bounds.max_ms = ms * 1.1, bounds.min_agreement = 0.9;
  rig.session.set_bounds(bounds);
  std::vector<GoalBound> held = bounds_of(rig.session);
  ASSERT_EQ(held.size(), 2U) << "agreement is only measured";
  EXPECT_EQ(held[0].verdict, Verdict::beyond);
  EXPECT_EQ(held[1].verdict, Verdict::within);
  EXPECT_NEAR(held[0].value, kl, 1e-12);
  EXPECT_NEAR(held[1].value, ms, 1e-12);
  bounds.max_kl = -1;
  EXPECT_THROW(rig.session.set_bounds(bounds), Error);
  EXPECT_EQ(rig.session.bounds().max_kl, kl * 0.9);
  rig.open();
  EXPECT_EQ(rig.session.bounds().max_ms, ms * 1.1);
  EXPECT_EQ(bounds_of(rig.session)[0].bound.limit, kl * 0.9);
}

TEST(Goal, AnOlderSettingsKlIsNotPassedOffAsTheNewOnes) {
  Rig rig({.sha256 = kSmolLM2});
  rig.open();
  EXPECT_TRUE(kl_in_words(rig.session).current);
  rig.session.set_settings(with_budget(33));
  EXPECT_FALSE(kl_in_words(rig.session).current);
  for (const GoalBound& bound : bounds_of(rig.session)) EXPECT_EQ(bound.verdict, Verdict::unknown);
  rig.settle();
  EXPECT_TRUE(kl_in_words(rig.session).current);
}

}  // namespace
}  // namespace reattend::viz::testing
