// The tuner: its front, its bounds, its choice with and without measuring, and the file it leaves.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "tests/replay/hand_made.h"
#include "traces/export/report.h"
#include "traces/export/settings_file.h"
#include "traces/tune/tune.h"

namespace reattend {
namespace {

class Tune : public ::testing::Test {
 protected:
  Tune() : run_(std::make_shared<HandMade>(HandMadeShape{.n_layer = 3, .n_prompt = 128, .n_step = 24}, 5)), pool_(2) {
    run_->info().calibration = {
        .weights_ms = 1e-3, .stream_gbps = 40, .attend_stream_gbps = 20, .attend_gather_gbps = 10, .score_gbps = 15};
    options_.grid.budgets = {std::string("L/4"), int64_t{16}};
    options_.grid.strides = {int64_t{2}, int64_t{8}};
    options_.grid.gate_strides = {int64_t{4}};
    options_.grid.thresholds = {0.3, 0.6};
    options_.bounds = {.max_output_error = 10, .max_lost_mass = 0.9, .max_kl = 0.1};
    options_.n_schedule = 0;  // tests/replay/test_schedule.cpp
  }
  TuneResult tuned(const MeasureFn& measure = {}) {
    Replayer replayer(run_, pool_);
    Replayer* const one[] = {&replayer};
    return tune(one, options_, measure, {}, Cancel());
  }

  std::shared_ptr<HandMade> run_;
  ThreadPool pool_;
  TuneOptions options_;
};

/// Which setting is which, by the order in which they were first asked for.
struct Asked {
  std::vector<Settings> different;
  std::vector<int> calls;
  /// From 1.
  int place(const Settings& settings) {
    auto found = std::find(different.begin(), different.end(), settings);
    if (found == different.end()) found = different.insert(found, settings);
    calls.push_back(static_cast<int>(found - different.begin()) + 1);
    return calls.back();
  }
};

bool no_worse(const TunePoint& a, const TunePoint& b) {
  return a.cost <= b.cost && a.estimate <= b.estimate && a.lost <= b.lost;
}

TEST_F(Tune, SweepsTheWholeGridAndItsNumbersAreTheReplays) {
  const TuneResult result = tuned();
  ASSERT_EQ(result.points.size(), 8U);  // 2 budgets x (2 strides + 1 gate stride x 2 thresholds)
  Replayer replayer(run_, pool_);
  for (const TunePoint& point : result.points) {
    const ReplaySummary total = replayer.run({.settings = point.settings}, {}, Cancel()).total;
    EXPECT_TRUE(point.whole);
    EXPECT_NEAR(point.cost, total.ms_per_token, 1e-12);
    EXPECT_NEAR(point.speed_up, total.ms_per_token_full / total.ms_per_token, 1e-9);
    EXPECT_NEAR(point.lost, total.lost, 1e-12);
    EXPECT_NEAR(point.output_error_p95, total.output_error_p95, 1e-12);
    EXPECT_NEAR(point.effective_stride, total.effective_stride, 1e-12);
  }
}

TEST_F(Tune, TheFrontHoldsWhatNothingElseBeats) {
  const TuneResult result = tuned();
  int n_front = 0;
  for (size_t i = 0; i < result.points.size(); ++i) {
    const TunePoint& point = result.points[i];
    if (i > 0) {
      EXPECT_LE(result.points[i - 1].cost, point.cost) << "fastest first";
    }
    n_front += point.on_front;
    bool beaten = false;
    for (const TunePoint& other : result.points) beaten = beaten || (no_worse(other, point) && !no_worse(point, other));
    EXPECT_EQ(point.on_front, !beaten) << point.settings.summary();
  }
  EXPECT_GE(n_front, 2);
}

TEST_F(Tune, WithoutMeasuringTheFastestWithinBoundsIsChosen) {
  const TuneResult all = tuned();
  options_.bounds.max_lost_mass = all.points[all.points.size() / 2].lost;  // some meet it, some do not
  const TuneResult result = tuned();
  ASSERT_TRUE(result.best().within_bounds && result.best().on_front) << result.reason;
  for (const TunePoint& point : result.points) {
    EXPECT_EQ(point.within_bounds, point.lost <= options_.bounds.max_lost_mass && point.output_error_p95 <= 10);
    if (point.within_bounds && point.on_front) {
      EXPECT_LE(result.best().cost, point.cost);
    }
  }
}

TEST_F(Tune, BoundsThatNothingMeetsAreSaidAndTheNearestIsChosen) {
  options_.bounds = {.max_output_error = 1e-3, .max_lost_mass = 1e-3};
  const TuneResult result = tuned();
  EXPECT_NE(result.reason.find("No setting"), std::string::npos) << result.reason;
  const auto excess = [](const TunePoint& p) { return std::max(p.output_error_p95, p.lost) / 1e-3; };
  for (const TunePoint& point : result.points) {
    if (point.on_front && point.cost < result.full_cost) {
      EXPECT_LE(excess(result.best()), excess(point));
    }
  }
}

TEST_F(Tune, TheFastestMeasuredSettingThatPassesIsChosen) {
  Asked asked;
  const TuneResult result = tuned([&](const Settings& settings, size_t) {
    const int n = asked.place(settings);
    // The prediction's favourite fails, the third turns out faster than the second.
    return Measured{.kl = n == 1 ? 0.5 : 0.05, .agreement = 0.9, .ms_per_token = n == 3 ? 1.0 : 2.0};
  });
  ASSERT_EQ(asked.different.size(), 3U);
  ASSERT_EQ(asked.calls.size(), 3U * kMeasureRounds);
  for (size_t i = 0; i < asked.calls.size(); ++i) EXPECT_EQ(asked.calls[i], int(i % 3) + 1) << "they take turns";
  EXPECT_EQ(result.best().settings, asked.different[2]);
  EXPECT_NE(result.reason.find("fastest with mean KL"), std::string::npos) << result.reason;
  std::vector<double> costs;
  for (const TunePoint& point : result.points) {
    if (point.measured) costs.push_back(point.cost);
  }
  EXPECT_EQ(costs.size(), 3U);
  for (const TunePoint& point : result.points) {
    if (point.on_front && !point.measured) {
      EXPECT_GE(point.cost, costs.back()) << "the three fastest are measured";
    }
  }
}

TEST_F(Tune, IfNoneOfTheFastestPassesMoreCarefulOnesAreTriedAndThenTheLowestKlWins) {
  options_.n_measure = 1, options_.n_more = 9;
  Asked some, all;
  const TuneResult late = tuned([&](const Settings& settings, size_t) {
    return Measured{.kl = some.place(settings) == 3 ? 0.01 : 1, .agreement = 1, .ms_per_token = 1};
  });
  EXPECT_EQ(some.different.size(), 3U) << "it stops at the first that passes";
  EXPECT_EQ(late.best().measured->kl, 0.01);
  const TuneResult none = tuned([&](const Settings& settings, size_t) {
    return Measured{.kl = 1.0 / all.place(settings), .agreement = 1, .ms_per_token = 1};
  });
  EXPECT_GT(all.different.size(), 1U);
  EXPECT_EQ(none.best().measured->kl, 1.0 / static_cast<double>(all.different.size()));
  EXPECT_NE(none.reason.find("None of the"), std::string::npos) << none.reason;
}

TEST_F(Tune, ConstraintsInTheUsersWordsHoldForWhatIsMeasured) {
  options_.n_measure = 4, options_.n_more = 0;
  Asked asked;
  const auto measure = [&](const Settings& settings, size_t) {
    const int n = asked.place(settings);
    // the first agrees too little, the second is too slow, the third's KL is too high
    return Measured{
        .kl = n == 3 ? 0.2 : 0.01, .agreement = n == 1 ? 0.5 : 0.95, .ms_per_token = n == 2 ? 9.0 : n * 1.0};
  };
  options_.bounds.min_agreement = 0.9, options_.bounds.max_ms = 8;
  const TuneResult result = tuned(measure);
  ASSERT_TRUE(result.best().measured);
  EXPECT_EQ(result.best().measured->ms_per_token, 4) << result.reason;
  EXPECT_NE(result.reason.find("top-1 agreement >= 0.9"), std::string::npos) << result.reason;
  EXPECT_NE(result.reason.find("ms/token <= 8"), std::string::npos) << result.reason;
}

TEST_F(Tune, ATimeBoundKeepsOutWhatIsPredictedSlower) {
  const TuneResult all = tuned();
  options_.bounds.max_ms = all.points[all.points.size() / 2].cost;
  const TuneResult result = tuned();
  for (const TunePoint& point : result.points) EXPECT_EQ(point.within_bounds, point.cost <= *options_.bounds.max_ms);
}

TEST_F(Tune, KlIsPredictedOnlyForTheModelThatWasStudiedOrVerified) {
  EXPECT_TRUE(std::isnan(tuned().best().predicted_kl));
  VerifiedPoint seen = {.settings = Settings("recycled"), .estimates = {{"step_error_half_rms", 0.5}}, .kl = 0.25};
  seen.predicted_ms = 1, seen.ms = 2, seen.predicted_full_ms = 1, seen.full_ms = 3;
  const TuneResult before = tuned();
  options_.verified = {seen};
  const TuneResult result = tuned();
  EXPECT_NEAR(result.prediction.kl(0.5), 0.25, 1e-9) << "the verified point itself is met";
  EXPECT_NEAR(result.full_cost, 3 * before.full_cost, 1e-9);
  EXPECT_NEAR(result.points.front().cost, 2 * before.points.front().cost, 1e-9);
  EXPECT_NE(result.reason.find("times x 2.00 (full attention's x 3.00), KL x"), std::string::npos) << result.reason;
  options_.verified.front().predicted_ms = options_.verified.front().predicted_full_ms = 0;  // of another machine
  const TuneResult untimed = tuned();
  EXPECT_NEAR(untimed.full_cost, before.full_cost, 1e-9);
  EXPECT_NE(untimed.reason.find("verified setting: KL x"), std::string::npos) << untimed.reason;
}

TEST_F(Tune, OtherPoliciesJoinTheSweepAndAnUnknownEstimateIsRefused) {
  Settings h2o("h2o");
  h2o.set("K", int64_t{32});
  options_.grid.more = {h2o};
  options_.estimate = "lost_mass";
  const TuneResult result = tuned();
  EXPECT_EQ(result.points.size(), 9U);
  for (const TunePoint& point : result.points) EXPECT_NEAR(point.estimate, point.lost, 1e-6);
  options_.estimate = "magic";
  EXPECT_THROW(tuned(), Error);
}

TEST_F(Tune, FullAttentionStaysWhereNothingIsFaster) {
  run_->info().calibration.attend_gather_gbps = 1e-3;
  const TuneResult result = tuned([](const Settings&, size_t) { return Measured{}; });
  EXPECT_EQ(result.best().settings, Settings("full"));
  EXPECT_EQ(result.best().speed_up, 1);
  EXPECT_EQ(Settings::from_toml(settings_file(result), "x"), Settings("full"));
}

TEST_F(Tune, AScreenedSweepReportsOnlyWholeNumbersOnItsFront) {
  options_.n_whole = 3, options_.n_screen_layer = 1;
  const TuneResult result = tuned();
  EXPECT_EQ(result.points.size(), 8U);
  int n_whole = 0;
  Replayer replayer(run_, pool_);
  for (const TunePoint& point : result.points) {
    n_whole += point.whole;
    if (point.on_front) {
      ASSERT_TRUE(point.whole);
      EXPECT_NEAR(point.lost, replayer.run({.settings = point.settings}, {}, Cancel()).total.lost, 1e-12);
    }
  }
  EXPECT_GE(n_whole, 3);
  EXPECT_LT(n_whole, 8);
  EXPECT_TRUE(result.best().whole);
}

TEST_F(Tune, WithoutCalibrationBytesRankAndWithoutValuesMass) {
  run_ = std::make_shared<HandMade>(HandMadeShape{.n_layer = 2, .n_prompt = 128, .n_step = 24, .values = false}, 5);
  const TuneResult result = tuned();
  EXPECT_FALSE(result.calibrated);
  Replayer replayer(run_, pool_);
  const ReplaySummary total = replayer.run({.settings = result.best().settings}, {}, Cancel()).total;
  EXPECT_GT(total.bytes_select, 0) << "kept rows are read to be packed";
  EXPECT_NEAR(result.best().cost, (total.bytes_attend + total.bytes_select) * 1e-6, 1e-12);
  EXPECT_NE(to_table(result).find("MB/token"), std::string::npos);
  EXPECT_NE(to_table(result).find("no values"), std::string::npos);
}

TEST_F(Tune, CancellationStopsTheSweep) {
  Replayer replayer(run_, pool_);
  const Cancel cancel;
  const ProgressFn raise = [&](const std::string&, double done, double, const std::string&) {
    if (done == 2) cancel.raise();
  };
  Replayer* const one[] = {&replayer};
  EXPECT_THROW(tune(one, options_, {}, raise, cancel), Cancelled);
}

TEST_F(Tune, TheDefaultGridIsSizedToThePromptAndWholeBasesAreKept) {
  TuneGrid grid;
  grid.base.set("pool", int64_t{15});
  const std::vector<Settings> all = make_grid(grid, run_->info());
  EXPECT_GT(all.size(), 50U);
  for (size_t i = 1; i < all.size(); ++i) EXPECT_GE(all[i - 1].count("K", 0, 128), all[i].count("K", 0, 128));
  EXPECT_EQ(all.front().count("K", 0, 128), 64);
  EXPECT_EQ(all.back().count("K", 0, 128), 4);
  for (const Settings& settings : all) EXPECT_EQ(settings.count("pool", 0, 128), 15);
  grid.base = Settings("streaming");
  EXPECT_THROW(make_grid(grid, run_->info()), Error);
}

TEST_F(Tune, TheSettingsFileIsReadBackAndHoldsItsEvidence) {
  run_->info().path = "a \"strange\"\npath\\x.h5";
  const TuneResult result =
      tuned([](const Settings&, size_t) { return Measured{.kl = 0.01, .agreement = 0.97, .ms_per_token = 3}; });
  const std::string text = settings_file(result);
  EXPECT_EQ(Settings::from_toml(text, "x"), result.best().settings) << text;
  for (const char* part :
       {"[evidence.predicted]", "output_error_p95", "mean_kl = 0.01", "max_mean_kl = 0.1", "n_prompt = 128"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
}

TEST_F(Tune, JsonAndTablesHoldTheChoice) {
  const TuneResult result = tuned();
  const nlohmann::json json = nlohmann::json::parse(to_json(result).dump());
  EXPECT_EQ(json["points"].size(), 8U);
  EXPECT_EQ(Settings::from_json(json["chosen"]["settings"], "x"), result.best().settings);
  EXPECT_NE(to_table(result).find("* " + result.best().settings.summary()), std::string::npos);
  Replayer replayer(run_, pool_);
  Settings never("recycled");
  never.set("S", Value());
  const ReplayResult replayed = replayer.run({.settings = never}, {}, Cancel());
  const nlohmann::json one = nlohmann::json::parse(to_json(replayed, run_->info()).dump());
  EXPECT_TRUE(one["total"]["effective_stride"].is_null());
  EXPECT_EQ(one["layers"].size(), 3U);
  EXPECT_NE(to_table(replayed, run_->info()).find("predicted: "), std::string::npos);
}

/// Two texts on one model: of the longer prompt a budget of so many positions loses more.
class TuneTwo : public Tune {
 protected:
  TuneTwo() : longer_(std::make_shared<HandMade>(HandMadeShape{.n_layer = 3, .n_prompt = 300, .n_step = 16}, 9)) {
    run_->info().path = "short.h5", longer_->info().path = "long.h5";
    longer_->info().calibration = run_->info().calibration;
    options_.grid.budgets = {int64_t{16}, int64_t{64}};
  }
  TuneResult both(const MeasureFn& measure = {}) {
    Replayer a(run_, pool_), b(longer_, pool_);
    Replayer* const traces[] = {&a, &b};
    return tune(traces, options_, measure, {}, Cancel());
  }
  static const TunePoint& find(const TuneResult& result, const Settings& settings) {
    return *std::find_if(result.points.begin(), result.points.end(),
                         [&](const TunePoint& point) { return point.settings == settings; });
  }

  std::shared_ptr<HandMade> longer_;
};

TEST_F(TuneTwo, TheWorstTraceDecidesAndCostsAreMeans) {
  const TuneResult result = both();
  ASSERT_EQ(result.traces.size(), 2U);
  EXPECT_NEAR(result.full_cost, (result.traces[0].full_cost + result.traces[1].full_cost) / 2, 1e-12);
  for (const TunePoint& point : result.points) {
    ASSERT_EQ(point.traces.size(), 2U);
    const PointNumbers &a = point.traces[0], &b = point.traces[1];
    EXPECT_EQ(point.lost, std::max(a.lost, b.lost));
    EXPECT_EQ(point.estimate, std::max(a.estimate, b.estimate));
    EXPECT_EQ(point.output_error_p95, std::max(a.output_error_p95, b.output_error_p95));
    EXPECT_EQ(point.recovered, std::min(a.recovered, b.recovered));
    EXPECT_NEAR(point.cost, (a.cost + b.cost) / 2, 1e-12);
    EXPECT_NEAR(point.speed_up, result.full_cost / point.cost, 1e-12);
  }
}

TEST_F(TuneTwo, ASettingThatIsGoodOnOneTraceAndBadOnTheOtherIsNotChosen) {
  const TuneResult alone = tuned();  // under bounds that all meet: the fastest
  const PointNumbers& there = find(both(), alone.best().settings).traces[1];
  ASSERT_GT(there.lost, alone.best().lost) << "the longer prompt is harder";
  options_.bounds.max_lost_mass = (there.lost + alone.best().lost) / 2;
  ASSERT_EQ(tuned().best().settings, alone.best().settings) << "by itself the short trace allows it";
  const TuneResult result = both();
  ASSERT_TRUE(result.best().within_bounds) << result.reason;
  EXPECT_NE(result.best().settings, alone.best().settings);
  for (const PointNumbers& on : result.best().traces) EXPECT_LE(on.lost, *options_.bounds.max_lost_mass);
  EXPECT_FALSE(find(result, alone.best().settings).within_bounds);
  EXPECT_NE(result.reason.find("on all 2 traces"), std::string::npos) << result.reason;
}

TEST_F(TuneTwo, AMeasuredSettingPassesOnlyIfItPassesEverywhere) {
  options_.n_measure = 2, options_.n_more = 0;
  std::vector<std::string> asked[2];
  std::vector<size_t> order;
  const TuneResult result = both([&](const Settings& settings, size_t trace) {
    asked[trace].push_back(settings.summary()), order.push_back(trace);
    // The first candidate is the faster one, and fails on the second trace alone.
    const bool first = settings.summary() == asked[0][0];
    return Measured{.kl = first && trace == 1 ? 0.5 : 0.02 + 0.01 * static_cast<double>(trace),
                    .agreement = 0.9,
                    .ms_per_token = first ? 1.0 : 2.0};
  });
  EXPECT_EQ(asked[0], asked[1]);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end())) << "a trace's prompt is needed once";
  EXPECT_EQ(result.best().settings.summary(), asked[0][1]) << result.reason;
  EXPECT_EQ(result.best().measured->kl, 0.03) << "the worst trace's";
  EXPECT_NE(result.reason.find("hardest trace: long.h5"), std::string::npos) << result.reason;
}

TEST_F(TuneTwo, TracesOfAnotherModelAreRefusedByName) {
  run_->info().attributes["model_sha256"] = "aaaa", longer_->info().attributes["model_sha256"] = "bbbb";
  const auto message = [&] {
    try {
      both();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::usage);
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_EQ(message().find("long.h5: "), 0U) << message();
  longer_->info().attributes.clear();
  longer_ = std::make_shared<HandMade>(HandMadeShape{.n_layer = 2, .n_prompt = 300, .n_step = 16}, 9);
  EXPECT_NE(message().find("2 layers"), std::string::npos) << message();
}

TEST_F(TuneTwo, AHeldOutTraceShowsItsGapInEveryForm) {
  Replayer here(run_, pool_), there(longer_, pool_);
  Replayer* const one[] = {&here};
  const auto measured = [](double kl) { return Measured{.kl = kl, .agreement = 0.9, .ms_per_token = 2}; };
  TuneResult result = tune(
      one, options_, [&](const Settings&, size_t) { return measured(0.08); }, {}, Cancel());
  hold_out(
      result, there, options_, [&](const Settings&) { return measured(0.12); }, {}, Cancel());
  ASSERT_EQ(result.held_out.size(), 1U);
  const HeldOutTrace& held = result.held_out.front();
  const ReplaySummary total = there.run({.settings = result.best().settings}, {}, Cancel()).total;
  EXPECT_NEAR(held.numbers.lost, total.lost, 1e-12);
  EXPECT_NEAR(held.numbers.cost, total.ms_per_token, 1e-12);
  const Gap gap = gap_of(held, result);
  EXPECT_EQ(gap.of, "measured KL");
  EXPECT_NEAR(gap.to_tuned, 1.5, 1e-12);
  EXPECT_NEAR(gap.to_bound, 1.2, 1e-12);
  EXPECT_NE(to_table(result).find("1.50 times that of the trace tuned on, 1.20 times the bound: breaks the bounds"),
            std::string::npos)
      << to_table(result);
  const nlohmann::json json = to_json(result)["validation"];
  EXPECT_NEAR(json[0]["gap"]["to_bound"].get<double>(), 1.2, 1e-12);
  EXPECT_FALSE(json[0]["keeps_max_kl"].get<bool>());
  const std::string file = settings_file(result);
  EXPECT_NE(file.find("to_bound = 1.2"), std::string::npos) << file;
  EXPECT_EQ(Settings::from_toml(file, "x"), result.best().settings);
  // Nothing measured and no KL predicted: the estimate is what is left to compare.
  TuneResult replayed = tune(one, options_, {}, {}, Cancel());
  hold_out(replayed, there, options_, {}, {}, Cancel());
  EXPECT_EQ(gap_of(replayed.held_out.front(), replayed).of, replayed.prediction.estimate);
}

TEST(WriteTextFile, NeverReplacesWithoutForceAndLeavesNothingBehindWhenItFails) {
  namespace fs = std::filesystem;
  const fs::path folder = fs::temp_directory_path() / ("reattend_write_" + std::to_string(::getpid()));
  fs::create_directory(folder);
  const fs::path path = folder / "a.toml";
  const auto content = [&] {
    std::stringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  };
  write_text_file(path, "one", false);
  EXPECT_THROW(write_text_file(path, "two", false), Error);
  EXPECT_EQ(content(), "one");
  write_text_file(path, "two", true);
  EXPECT_EQ(content(), "two");
  EXPECT_THROW(write_text_file(folder / "none" / "b.toml", "x", true), Error);
  EXPECT_THROW(write_text_file(folder, "x", true), Error);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), fs::directory_iterator()), 1);
  fs::remove_all(folder);
}

}  // namespace
}  // namespace reattend
