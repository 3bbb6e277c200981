// What the tuner makes of measurements: interleaved rounds, bounds, noise, another machine's times.
#include <cmath>

#include <nlohmann/json.hpp>

#include "cli/reports/tune.h"
#include "cli/reports/tune_words.h"
#include "tests/replay/tuned.h"
#include "tune/settings_file.h"

namespace reattend {
namespace {

TEST_F(Tune, TheFastestMeasuredSettingThatPassesIsChosen) {
  Asked asked;
  const TuneResult result = tuned([&](const Settings& settings, size_t) {
    const int n = asked.place(settings);
    // The prediction's favourite fails, the third is measured faster than the second.
    return Score{.kl = n == 2 ? 0.5 : 0.05, .agreement = 0.9, .ms = n == 4 ? 1.0 : 2.0};
  });
  ASSERT_EQ(asked.different.size(), 4U);
  EXPECT_EQ(asked.different[0], Settings("full")) << "timed in the same rounds";
  ASSERT_EQ(asked.calls.size(), 4U * kMeasureRounds);
  for (size_t i = 0; i < asked.calls.size(); ++i) EXPECT_EQ(asked.calls[i], int(i % 4) + 1) << "they are interleaved";
  EXPECT_EQ(result.best().settings, asked.different[3]);
  EXPECT_EQ(result.best().measured->full_ms, 2);
  EXPECT_EQ(result.reason.rule, Reason::Rule::fastest);
  EXPECT_EQ(result.reason.n_measured, 3U);
  EXPECT_NE(cli::reason_in_words(result).find("fastest with mean KL"), std::string::npos)
      << cli::reason_in_words(result);
  std::vector<double> costs;
  for (const Candidate& candidate : result.candidates) {
    if (candidate.measured) costs.push_back(candidate.cost);
  }
  EXPECT_EQ(costs.size(), 3U);
  for (const Candidate& candidate : result.candidates) {
    if (candidate.on_front && !candidate.measured) {
      EXPECT_GE(candidate.cost, costs.back()) << "the three fastest are measured";
    }
  }
}

TEST_F(Tune, IfNoneOfTheFastestPassesMoreCarefulOnesAreTriedAndThenTheLowestKlWins) {
  options_.n_measure = 1, options_.n_more = 9;
  Asked some, all;
  const TuneResult late = tuned(beside_full([&](const Settings& settings, size_t) {
    return Score{.kl = some.place(settings) == 3 ? 0.01 : 1, .agreement = 1, .ms = 1};
  }));
  EXPECT_EQ(some.different.size(), 3U) << "it stops at the first that passes";
  EXPECT_EQ(late.best().measured->kl, 0.01);
  const TuneResult none = tuned(beside_full([&](const Settings& settings, size_t) {
    return Score{.kl = 1.0 / all.place(settings), .agreement = 1, .ms = 1};
  }));
  EXPECT_GT(all.different.size(), 1U);
  EXPECT_EQ(none.best().measured->kl, 1.0 / static_cast<double>(all.different.size()));
  EXPECT_EQ(none.reason.rule, Reason::Rule::lowest_kl);
  EXPECT_NE(cli::reason_in_words(none).find("None of the"), std::string::npos) << cli::reason_in_words(none);
}

TEST_F(Tune, ConstraintsInTheUsersWordsHoldForWhatIsMeasured) {
  options_.n_measure = 4, options_.n_more = 0;
  Asked asked;
  const auto measure = [&](const Settings& settings, size_t) {
    const int n = asked.place(settings);
    // the first agrees too little, the second is too slow, the third's KL is too high
    return Score{.kl = n == 3 ? 0.2 : 0.01, .agreement = n == 1 ? 0.5 : 0.95, .ms = n == 2 ? 9.0 : n * 1.0};
  };
  options_.bounds.min_agreement = 0.9, options_.bounds.max_ms = 8;
  const TuneResult result = tuned(beside_full(measure));
  ASSERT_TRUE(result.best().measured);
  EXPECT_EQ(result.best().measured->ms, 4) << cli::reason_in_words(result);
  EXPECT_NE(cli::reason_in_words(result).find("top-1 agreement >= 0.9"), std::string::npos)
      << cli::reason_in_words(result);
  EXPECT_NE(cli::reason_in_words(result).find("ms/token <= 8"), std::string::npos) << cli::reason_in_words(result);
}

TEST_F(Tune, FullAttentionStaysWhereNothingIsFaster) {
  run_->info().calibration.attend_gather_gbps = 1e-3;
  const TuneResult result = tuned(beside_full([](const Settings&, size_t) { return Score{}; }));
  EXPECT_EQ(result.best().settings, Settings("full"));
  EXPECT_EQ(result.best().speed_up, 1);
  EXPECT_EQ(result.reason.rule, Reason::Rule::full_attention);
  ASSERT_TRUE(result.best().measured) << "whoever measures looks at it";
  EXPECT_EQ(result.best().measured->ms, 5);
  EXPECT_EQ(Settings::from_toml(settings_file(result, {}), "x"), Settings("full"));
  for (size_t i = 1; i < result.candidates.size(); ++i)
    EXPECT_LE(result.candidates[i - 1].cost, result.candidates[i].cost);
  EXPECT_GT(result.candidates.back().cost, result.full_cost);
  // One that was tried anyway is not tried twice.
  options_.grid.more = {Settings("full")};
  const TuneResult again = tuned();
  EXPECT_EQ(again.best().settings, Settings("full"));
  EXPECT_EQ(again.candidates.size(), result.candidates.size());
}

TEST_F(Tune, TimesThatAClockCannotTellApartLeaveTheChoiceToKl) {
  Asked asked;
  const auto measure = [&](const Settings& settings, size_t) {
    const int n = asked.place(settings);
    const double ms[] = {1.00, 1.02, 1.05}, kl[] = {0.09, 0.04, 0.01};
    return Score{.kl = kl[n - 1], .agreement = 1, .ms = ms[n - 1]};
  };
  const TuneResult result = tuned(beside_full(measure));
  ASSERT_EQ(asked.different.size(), 3U);
  EXPECT_EQ(result.best().settings, asked.different[1]) << cli::reason_in_words(result);
  EXPECT_EQ(result.reason.rule, Reason::Rule::lowest_kl_alike);
  EXPECT_EQ(result.reason.n_alike, 2U);
  EXPECT_NE(cli::reason_in_words(result).find("2 with mean KL <= 0.1 are within 3 % of the fastest"), std::string::npos)
      << cli::reason_in_words(result);
}

TEST_F(Tune, BeyondTheBoundsWhatIsFartherIsNotTried) {
  options_.bounds = {.max_output_error = 1e-3, .max_lost_mass = 1e-3};
  options_.n_measure = 1, options_.n_more = 9;
  Asked asked;
  const TuneResult result = tuned(beside_full([&](const Settings& settings, size_t) {
    asked.place(settings);
    return Score{.kl = 1, .agreement = 1, .ms = 1};
  }));
  EXPECT_EQ(asked.different.size(), 1U) << cli::reason_in_words(result);
  EXPECT_TRUE(result.reason.beyond_bounds);
  EXPECT_GT(result.reason.nearest.most, 1) << "how far the nearest is";
}

TEST_F(Tune, ATimeBoundNeedsACalibrationOrMeasuredTimes) {
  run_->info().calibration = {};
  options_.bounds.max_ms = 8;
  const std::string line = refusal([&] { tuned(); });
  EXPECT_EQ(line.find("--max-ms: "), 0U) << line;
  EXPECT_NE(line.find("--datasheet"), std::string::npos) << line;
  const TuneResult result =
      tuned(beside_full([](const Settings&, size_t) { return Score{.kl = 0.01, .agreement = 1, .ms = 7}; }));
  EXPECT_EQ(cli::reason_in_words(result).find(
                "within the bounds (95th percentile of output error <= 10, lost mass <= 0.9)") == std::string::npos,
            false)
      << cli::reason_in_words(result);
  EXPECT_NE(cli::reason_in_words(result).find("held against measured times alone"), std::string::npos)
      << cli::reason_in_words(result);
}

TEST_F(Tune, ABoundOnOutputErrorNeedsValues) {
  run_ = std::make_shared<HandMade>(HandMadeShape{.n_layer = 2, .n_prompt = 128, .n_step = 24, .values = false}, 5);
  EXPECT_EQ(refusal([&] { tuned(); }).find("--max-output-error: "), 0U);
}

TEST_F(Tune, AnotherMachinesTimesAreNotMixedWithMeasuredOnes) {
  options_.calibrations = {run_->info().calibration}, options_.other_machine = true;
  const TuneResult replayed = tuned();
  options_.bounds.max_ms = replayed.full_cost;  // in the machine's own, tiny, milliseconds
  Asked asked;
  const TuneResult result = tuned([&](const Settings& settings, size_t) {
    const int n = asked.place(settings);  // here the fastest there is the slowest, and nothing keeps the bound on time
    return Score{.kl = n == 1 ? 0.5 : 0.05, .agreement = 0.9, .ms = 1000.0 / n};
  });
  EXPECT_EQ(asked.calls, (std::vector<int>{1, 2, 3})) << "nothing is timed, so once is enough";
  EXPECT_EQ(result.best().settings, asked.different[1]) << "of those that pass the fastest as predicted";
  EXPECT_NE(cli::reason_in_words(result).find("this is the fastest with"), std::string::npos)
      << cli::reason_in_words(result);
  EXPECT_NE(cli::reason_in_words(result).find("ms/token <= "), std::string::npos) << cli::reason_in_words(result);
  EXPECT_NE(cli::reason_in_words(result).find("another machine"), std::string::npos) << cli::reason_in_words(result);
  EXPECT_TRUE(std::isnan(result.best().measured->ms));
  EXPECT_EQ(cli::time_warning(result), "");
  EXPECT_TRUE(cli::to_json(result)["chosen"]["measured"]["ms_per_token"].is_null());
  const std::string file = settings_file(result, {});
  EXPECT_EQ(file.find("ms_per_token = nan"), std::string::npos) << file;
  EXPECT_EQ(Settings::from_toml(file, "x"), result.best().settings);
}

}  // namespace
}  // namespace reattend
