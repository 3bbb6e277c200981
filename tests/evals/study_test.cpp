// Rank correlations against values worked out by hand, and what a study makes of settings whose order is known.
#include <gtest/gtest.h>

#include <cmath>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "evals/correlation.h"
#include "evals/study.h"
#include "replay/estimates.h"

namespace reattend {
namespace {

using Values = std::vector<double>;
const double kNan = std::nan("");

TEST(Correlation, RanksShareTheirMeanWhereValuesAreEqual) {
  EXPECT_EQ(ranks(Values{30, 10, 20, 10}), (Values{4, 1.5, 3, 1.5}));
  EXPECT_EQ(ranks(Values{5, 5, 5}), (Values{2, 2, 2}));
  EXPECT_TRUE(ranks(Values{}).empty());
}

TEST(Correlation, SpearmanAndKendallWorkedOutByHand) {
  // Ranks 1..5 against 2 1 4 3 5: sum of squared differences 4, rho = 1 - 6*4 / (5*24); 2 of 10 pairs are turned.
  const Values x = {1, 2, 3, 4, 5}, y = {20, 10, 400, 30, 500};
  EXPECT_NEAR(spearman(x, y), 0.8, 1e-12);
  EXPECT_NEAR(kendall(x, y), 0.6, 1e-12);
  // A tie in x: ranks 1.5 1.5 3 against 1 2 3. tau-b = 2 / sqrt(2 * 3).
  EXPECT_NEAR(spearman(Values{1, 1, 2}, Values{1, 2, 3}), 1.5 / std::sqrt(1.5 * 2), 1e-12);
  EXPECT_NEAR(kendall(Values{1, 1, 2}, Values{1, 2, 3}), 2 / std::sqrt(6.0), 1e-12);
}

TEST(Correlation, OrderAloneCountsAndTheOppositeIsMinusOne) {
  const Values x = {1, 2, 3, 4}, up = {1e-9, 1, 1e5, 1e9}, down = {4, 3, 2, 1};
  EXPECT_EQ(spearman(x, up), 1);
  EXPECT_EQ(kendall(x, up), 1);
  EXPECT_EQ(spearman(x, down), -1);
  EXPECT_EQ(kendall(x, down), -1);
}

TEST(Correlation, WhatIsNotANumberIsLeftOutAndWhatHasNoOrderIsNan) {
  EXPECT_EQ(spearman(Values{1, kNan, 2, 3}, Values{1, 9, 2, 3}), 1);
  EXPECT_TRUE(std::isnan(spearman(Values{1, 1, 1}, Values{1, 2, 3})));
  EXPECT_TRUE(std::isnan(kendall(Values{1, 1, 1}, Values{1, 2, 3})));
  EXPECT_TRUE(std::isnan(spearman(Values{1, kNan}, Values{1, 2})));
}

/// Settings whose KL is `kl`; estimate 0 orders them rightly, estimate 1 backwards, the others say nothing.
StudyPrompt prompt(const std::string& name, const Values& kl) {
  StudyPrompt out = {.name = name, .trace = name + ".h5", .fingerprint = "f", .n_prompt = 100, .n_step = 8};
  for (size_t i = 0; i < kl.size(); ++i) {
    Settings settings("recycled");
    settings.set("K", static_cast<int64_t>(i + 1));
    StudiedSetting studied = {.settings = settings, .estimates = Values(estimates().size(), kNan), .recovered = 0.9};
    studied.estimates[0] = kl[i] * 2, studied.estimates[1] = -kl[i];
    studied.read = 0.1 + 0.1 * static_cast<double>(i);
    studied.measured = Score{.kl = kl[i], .agreement = 0.9};
    out.settings.push_back(studied);
  }
  return out;
}

TEST(Study, TheEstimateThatOrdersRightlyWinsEverywhere) {
  const StudyPrompt a = prompt("a", {0.5, 0.1, 0.3, 0.2}), b = prompt("b", {0.05, 0.4, 0.01});
  const std::vector<EstimateScore> scores = score_estimates({&a, &b});
  ASSERT_EQ(scores.size(), estimates().size());
  EXPECT_EQ(scores.front().estimate, 0U);
  EXPECT_EQ(scores.front().mean_spearman(), 1);
  EXPECT_EQ(scores.front().across, 1);
  EXPECT_NEAR(scores.front().mean_regret(), 1, 1e-12) << "it picks the best setting under every budget";
  EXPECT_EQ(scores[1].estimate, 1U);
  EXPECT_EQ(scores[1].mean_spearman(), -1);
  EXPECT_GT(scores[1].mean_regret(), 1.5);
  EXPECT_TRUE(std::isnan(scores.back().mean_spearman())) << "what says nothing comes last";
}

TEST(Study, AnEstimateIsJudgedOnPromptsThatDidNotChooseIt) {
  const StudyPrompt a = prompt("a", {0.5, 0.1, 0.3}), b = prompt("b", {0.2, 0.4, 0.1}), c = prompt("c", {1, 2, 3}),
                    d = prompt("d", {3, 2, 1});
  const std::vector<HalfJudged> halves = held_out({&a, &b, &c, &d});
  ASSERT_EQ(halves.size(), 2U);
  EXPECT_EQ(halves[0].chosen_on, (std::vector<std::string>{"a", "c"}));
  EXPECT_EQ(halves[0].judged_on, (std::vector<std::string>{"b", "d"}));
  EXPECT_EQ(halves[0].estimate, 0U);
  EXPECT_EQ(halves[0].score.mean_spearman(), 1);
  EXPECT_EQ(held_out_all({&a, &b, &c, &d}).size(), 6U) << "four prompts, two at a time";
  EXPECT_TRUE(held_out({&a}).empty());
}

TEST(Study, APowerLawIsFoundAgain) {
  StudyPrompt a = prompt("a", {0.001, 0.01, 0.1, 1});
  for (StudiedSetting& studied : a.settings) studied.estimates[0] = std::sqrt(studied.measured->kl / 3);  // KL = 3 x^2
  const KlCurve curve = fit_kl({&a}, 0);
  EXPECT_NEAR(curve.power, 2, 1e-9);
  EXPECT_NEAR(curve.scale, 3, 1e-9);
  EXPECT_NEAR(curve.spread, 1, 1e-6);
  EXPECT_NEAR(curve.at(0.1), 0.03, 1e-9);
  EXPECT_FALSE(fit_kl({&a}, 2).exists()) << "an estimate that the prompt does not have";
}

TEST(Study, APromptsFileIsReadBackAndAnOlderProgramsIsReplayedAgain) {
  const StudyPrompt a = prompt("a", {0.5, 0.1});
  nlohmann::json json = nlohmann::json::parse(to_json(a).dump());
  const StudyPrompt b = study_prompt_from_json(json, "x");
  ASSERT_EQ(b.settings.size(), 2U);
  EXPECT_EQ(b.settings[1].settings, a.settings[1].settings);
  EXPECT_EQ(b.settings[1].estimates[0], a.settings[1].estimates[0]);
  EXPECT_TRUE(std::isnan(b.settings[1].estimates[2]));
  EXPECT_EQ(b.settings[1].measured->kl, 0.1);
  EXPECT_TRUE(std::isnan(b.settings[1].measured->recovered));
  json["points"][0]["estimates"].erase(std::string(estimates()[3].name));
  EXPECT_TRUE(study_prompt_from_json(json, "x").settings[0].estimates.empty());
  for (const char* text :
       {"null", "[]", "{}", R"({"name": 3})", R"({"name": "a", "trace": "t", "fingerprint": "f"})"}) {
    EXPECT_THROW(study_prompt_from_json(nlohmann::json::parse(text), "x"), Error) << text;
  }
}

/// Times: 10 % too long, 20 % too short, and one setting that nobody timed.
TEST(Study, ResidualsOfTimesAreCountedByPolicyAndNameTheWorst) {
  StudyPrompt a = prompt("a", {0.5, 0.1, 0.3});
  a.settings[1].settings = Settings("tova");
  const double here[] = {11, 8, 5}, trace[] = {20, 10, 5}, measured[] = {10, 10, 0};
  for (size_t i = 0; i < 3; ++i) {
    a.settings[i].recalibrated_ms = here[i], a.settings[i].predicted_ms = trace[i],
    a.settings[i].measured->ms = measured[i];
  }
  const std::vector<TimeResidual> found = time_residuals({&a}, TimesFrom::recalibrated);
  ASSERT_EQ(found.size(), 3U);
  EXPECT_EQ(found[0].policy, "recycled");
  EXPECT_EQ(found[0].n, 1);
  EXPECT_NEAR(found[0].most, 0.1, 1e-12);
  EXPECT_EQ(found[1].policy, "tova");
  EXPECT_NEAR(found[1].bias, -0.2, 1e-12);
  EXPECT_EQ(found[2].n, 2);
  EXPECT_NEAR(found[2].mean, 0.15, 1e-12);
  EXPECT_NEAR(found[2].bias, -0.05, 1e-12);
  EXPECT_NEAR(found[2].most, -0.2, 1e-12);
  EXPECT_EQ(found[2].worst, a.settings[1].settings.summary() + ", a");
  EXPECT_NEAR(time_residuals({&a}, TimesFrom::trace).back().most, 1, 1e-12);
  a.recalibrated_full_ms = 3, a.full_ms = 2;
  EXPECT_EQ(time_residuals({&a}, TimesFrom::recalibrated)[2].policy, "full");
  EXPECT_EQ(time_residuals({}, TimesFrom::recalibrated).back().n, 0);
}

/// A prompt that was studied before there was recalibrating has the trace's times alone.
TEST(Study, PromptsWithTheTracesTimesAloneAreCountedBesideThoseWithBoth) {
  StudyPrompt both = prompt("both", {0.5}), old = prompt("old", {0.5, 0.1});
  both.settings[0].recalibrated_ms = 11, both.settings[0].predicted_ms = 20, both.settings[0].measured->ms = 10;
  old.settings[1].settings = Settings("tova");
  for (StudiedSetting& studied : old.settings) studied.predicted_ms = 30, studied.measured->ms = 10;
  const std::vector<TimeResidual> found = time_residuals({&both, &old}, TimesFrom::any);
  ASSERT_EQ(found.size(), 3U);
  EXPECT_EQ(found[0].policy, "recycled");
  EXPECT_EQ(found[0].n, 2);
  EXPECT_EQ(found[1].policy, "tova");
  EXPECT_EQ(found[2].n, 3);
  EXPECT_NEAR(found[2].mean, (0.1 + 2 + 2) / 3, 1e-12);
}

TEST(Study, TheFileKeepsWhatTimesAreMadeOf) {
  StudyPrompt a = prompt("a", {0.5});
  a.settings[0].work = {.run = 1, .kept = 2, .in_place = 3, .ranked = 4, .bounds = 9};
  a.settings[0].recalibrated_ms = 7, a.recalibrated_full_ms = 8;
  a.recalibrated = Calibration{.weights_ms = 1, .stream_gbps = 2, .rank_ns = 0.25};
  const StudyPrompt again = study_prompt_from_json(to_json(a), "x");
  for (const CountedWorkPart& part : kCountedWork) {
    EXPECT_EQ(again.settings[0].work.*part.value, a.settings[0].work.*part.value) << part.name;
  }
  EXPECT_EQ(again.settings[0].recalibrated_ms, 7);
  EXPECT_EQ(again.recalibrated_full_ms, 8);
  ASSERT_TRUE(again.recalibrated);
  EXPECT_EQ(again.recalibrated->rank_ns, 0.25);
  EXPECT_EQ(again.recalibrated->pack_ns, Calibration::kNone);
  // Studies of a version ago have these numbers under other names, older ones not at all.
  nlohmann::json renamed = to_json(a);
  renamed["here_full_ms"] = renamed["recalibrated_full_ms"], renamed.erase("recalibrated_full_ms");
  renamed["points"][0]["here_ms"] = 7, renamed["points"][0].erase("recalibrated_ms");
  EXPECT_EQ(study_prompt_from_json(renamed, "x").recalibrated_full_ms, 8);
  EXPECT_EQ(study_prompt_from_json(renamed, "x").settings[0].recalibrated_ms, 7);
  nlohmann::json old = to_json(a);
  for (const char* key : {"recalibrated_full_ms", "calibration"}) old.erase(key);
  for (const char* key : {"recalibrated_ms", "work"}) old["points"][0].erase(key);
  const StudyPrompt before = study_prompt_from_json(old, "x");
  EXPECT_FALSE(before.recalibrated);
  EXPECT_EQ(before.settings[0].work.run, 0);
}

}  // namespace
}  // namespace reattend
