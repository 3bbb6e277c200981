// Tuning on several traces, and the choice on one that was held out.
#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>

#include <nlohmann/json.hpp>

#include "cli/reports/tune.h"
#include "cli/reports/tune_words.h"
#include "tests/replay/tuned.h"
#include "tune/settings_file.h"

namespace reattend {
namespace {

TEST_F(TuneTwo, TheWorstTraceDecidesAndCostsAreMeans) {
  const TuneResult result = both();
  ASSERT_EQ(result.traces.size(), 2U);
  EXPECT_NEAR(result.full_cost, (result.traces[0].full_cost + result.traces[1].full_cost) / 2, 1e-12);
  for (const Candidate& candidate : result.candidates) {
    ASSERT_EQ(candidate.traces.size(), 2U);
    const Metrics &a = candidate.traces[0], &b = candidate.traces[1];
    EXPECT_EQ(candidate.lost, std::max(a.lost, b.lost));
    EXPECT_EQ(candidate.estimate, std::max(a.estimate, b.estimate));
    EXPECT_EQ(candidate.output_error_p95, std::max(a.output_error_p95, b.output_error_p95));
    EXPECT_EQ(candidate.recovered, std::min(a.recovered, b.recovered));
    EXPECT_NEAR(candidate.cost, (a.cost + b.cost) / 2, 1e-12);
    EXPECT_NEAR(candidate.speed_up, result.full_cost / candidate.cost, 1e-12);
  }
}

TEST_F(TuneTwo, ASettingThatIsGoodOnOneTraceAndBadOnTheOtherIsNotChosen) {
  const TuneResult alone = tuned();  // under bounds that all meet: the fastest
  const Metrics& there = find(both(), alone.best().settings).traces[1];
  ASSERT_GT(there.lost, alone.best().lost) << "the longer prompt is harder";
  options_.bounds.max_lost_mass = (there.lost + alone.best().lost) / 2;
  ASSERT_EQ(tuned().best().settings, alone.best().settings) << "by itself the short trace allows it";
  const TuneResult result = both();
  ASSERT_TRUE(result.best().within_bounds) << cli::reason_in_words(result);
  EXPECT_NE(result.best().settings, alone.best().settings);
  for (const Metrics& on : result.best().traces) EXPECT_LE(on.lost, *options_.bounds.max_lost_mass);
  EXPECT_FALSE(find(result, alone.best().settings).within_bounds);
  EXPECT_NE(cli::reason_in_words(result).find("on all 2 traces"), std::string::npos) << cli::reason_in_words(result);
}

TEST_F(TuneTwo, AMeasuredSettingPassesOnlyIfItPassesEverywhere) {
  options_.n_measure = 2, options_.n_more = 0;
  std::vector<std::string> asked[2];
  std::vector<size_t> order;
  const TuneResult result = both(beside_full([&](const Settings& settings, size_t trace) {
    asked[trace].push_back(settings.summary()), order.push_back(trace);
    // The first candidate is the faster one, and fails on the second trace alone.
    const bool first = settings.summary() == asked[0][0];
    return Score{.kl = first && trace == 1 ? 0.5 : 0.02 + 0.01 * static_cast<double>(trace),
                 .agreement = 0.9,
                 .ms = first ? 1.0 : 2.0};
  }));
  EXPECT_EQ(asked[0], asked[1]);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end())) << "a trace's prompt is needed once";
  EXPECT_EQ(result.best().settings.summary(), asked[0][1]) << cli::reason_in_words(result);
  EXPECT_EQ(result.best().measured->kl, 0.03) << "the worst trace's";
  EXPECT_NE(cli::reason_in_words(result).find("hardest trace: long.h5"), std::string::npos)
      << cli::reason_in_words(result);
}

TEST_F(TuneTwo, TracesOfAnotherModelAreRefusedByName) {
  run_->info().attributes["model_sha256"] = "aaaa", longer_->info().attributes["model_sha256"] = "bbbb";
  const auto message = [&] { return refusal([&] { both(); }); };
  EXPECT_EQ(message().find("long.h5: "), 0U) << message();
  longer_->info().attributes.clear();
  longer_ = std::make_shared<HandMade>(HandMadeShape{.n_layer = 2, .n_prompt = 300, .n_step = 16}, 9);
  EXPECT_NE(message().find("2 layers"), std::string::npos) << message();
}

TEST_F(TuneTwo, AHeldOutTraceShowsItsGapInEveryForm) {
  Replayer here(run_, pool_), there(longer_, pool_);
  Replayer* const one[] = {&here};
  const auto measured = [](double kl) { return Score{.kl = kl, .agreement = 0.9, .ms = 2}; };
  TuneResult result = tune(
      one, options_, [&](const Settings&, size_t) { return measured(0.08); }, {}, Cancel());
  std::vector<Settings> asked;
  hold_out(
      result, there, {},
      [&](const Settings& settings) {
        asked.push_back(settings);
        return measured(0.12);
      },
      {}, Cancel());
  ASSERT_EQ(asked.size(), 2U * kMeasureRounds) << "as often as on the traces tuned on";
  EXPECT_EQ(asked[0], Settings("full"));
  EXPECT_EQ(asked[1], result.best().settings);
  ASSERT_EQ(result.held_out.size(), 1U);
  const HeldOutTrace& held = result.held_out.front();
  const ReplaySummary total = there.run({.settings = result.best().settings}, {}, Cancel()).total;
  EXPECT_NEAR(held.metrics.lost, total.lost, 1e-12);
  EXPECT_NEAR(held.metrics.cost, total.ms_per_token, 1e-12);
  const Gap gap = gap_of(held, result);
  EXPECT_EQ(gap.of, "measured KL");
  EXPECT_NEAR(gap.to_tuned, 1.5, 1e-12);
  EXPECT_NEAR(gap.to_bound, 1.2, 1e-12);
  EXPECT_NE(cli::to_text(result).find("1.50 times that of the trace tuned on, 1.20 times the bound: breaks the bounds"),
            std::string::npos)
      << cli::to_text(result);
  const nlohmann::json json = cli::to_json(result)["held_out"];
  EXPECT_NEAR(json[0]["gap"]["to_bound"].get<double>(), 1.2, 1e-12);
  EXPECT_FALSE(json[0]["keeps_max_kl"].get<bool>());
  const std::string file = settings_file(result, {});
  EXPECT_NE(file.find("to_bound = 1.2"), std::string::npos) << file;
  EXPECT_EQ(Settings::from_toml(file, "x"), result.best().settings);
  // Nothing measured and no KL predicted: the estimate is what is left to compare.
  TuneResult replayed = tune(one, options_, {}, {}, Cancel());
  hold_out(replayed, there, {}, {}, {}, Cancel());
  EXPECT_EQ(gap_of(replayed.held_out.front(), replayed).of, replayed.prediction.estimate);
}

/// Tuned on the short run, tried on the long one.
class HeldOut : public TuneTwo {
 protected:
  TuneResult on_held_out(const MeasureFn& measure = {}) {
    TuneResult result = tuned(measure);
    Replayer there(longer_, pool_);
    std::function<Score(const Settings&)> measure_there;
    if (measure) measure_there = [&](const Settings& settings) { return measure(settings, 1); };
    hold_out(result, there, {}, measure_there, {}, Cancel());
    return result;
  }
};

TEST_F(HeldOut, WithoutACalibrationItHasNoTimeWhereOthersAreInMilliseconds) {
  longer_->info().calibration = {};
  options_.bounds.max_ms = 1e6;
  const TuneResult result = on_held_out();
  const HeldOutTrace& held = result.held_out.front();
  EXPECT_TRUE(std::isnan(held.metrics.cost) && std::isnan(held.full_cost) && std::isnan(held.metrics.speed_up));
  EXPECT_GT(held.metrics.lost, 0);
  EXPECT_FALSE(keeps_bounds(held, result).has_value()) << "megabytes are not milliseconds";
  const std::string table = cli::to_text(result);
  EXPECT_NE(table.find("whether it keeps the bounds is unknown"), std::string::npos) << table;
  EXPECT_EQ(table.find("nan"), std::string::npos) << table;
  const nlohmann::json json = cli::to_json(result)["held_out"][0];
  for (const char* const key : {"cost", "speed_up", "full_cost", "keeps_bounds"})
    EXPECT_TRUE(json[key].is_null()) << key;
  const std::string file = settings_file(result, {}), of_held = file.substr(file.find("[[evidence.held_out]]"));
  EXPECT_EQ(of_held.find("per_token"), std::string::npos) << of_held;
  EXPECT_EQ(file.find("nan"), std::string::npos) << file;
  // A bound that is broken whatever its time would be is broken.
  options_.bounds.max_lost_mass = (result.best().lost + held.metrics.lost) / 2;
  const TuneResult worse = on_held_out();
  ASSERT_EQ(worse.best().settings, result.best().settings);
  EXPECT_EQ(keeps_bounds(worse.held_out.front(), worse), std::optional(false));
}

TEST_F(HeldOut, WithACalibrationItIsInMegabytesWhereOthersAre) {
  run_->info().calibration = {};
  const TuneResult result = on_held_out();
  ASSERT_FALSE(result.calibrated);
  const HeldOutTrace& held = result.held_out.front();
  Replayer there(longer_, pool_);
  const ReplaySummary total = there.run({.settings = result.best().settings}, {}, Cancel()).total;
  EXPECT_NEAR(held.metrics.cost, (total.bytes_attend + total.bytes_select) * 1e-6, 1e-12);
  EXPECT_NE(settings_file(result, {}).find("mb_per_token"), std::string::npos);
}

TEST_F(HeldOut, WithoutTheValuesThatSettingsAreRankedByItIsRefused) {
  longer_ = std::make_shared<HandMade>(HandMadeShape{.n_layer = 3, .n_prompt = 300, .n_step = 16, .values = false}, 9);
  longer_->info().path = "long.h5";
  const TraceInfo* const tuned_on[] = {&run_->info()};
  for (const std::string& line :
       {refusal([&] { check_held_out(longer_->info(), tuned_on, options_); }), refusal([&] { on_held_out(); })}) {
    EXPECT_EQ(line.find("--held-out long.h5: "), 0U) << line;
    EXPECT_NE(line.find("step_error_middle_rms"), std::string::npos) << line;
  }
  options_.estimate = "lost_mass";
  EXPECT_NE(refusal([&] { check_held_out(longer_->info(), tuned_on, options_); }).find("which --max-output-error"),
            std::string::npos);
  // The bound that holds where none is given refuses no trace, and says nothing of it.
  options_.bounds.max_output_error.reset(), options_.bounds.max_lost_mass = 1;
  check_held_out(longer_->info(), tuned_on, options_);
  const TuneResult result = on_held_out();
  EXPECT_FALSE(keeps_bounds(result.held_out.front(), result).has_value());
  EXPECT_NE(cli::to_text(result).find("is unknown, for the trace has no values"), std::string::npos)
      << cli::to_text(result);
  EXPECT_EQ(settings_file(result, {}).find("nan"), std::string::npos);
}

TEST_F(HeldOut, WhereFullAttentionStaysTheRatioIsUnknownNotANumber) {
  run_->info().calibration.attend_gather_gbps = 1e-3;
  for (const MeasureFn& measure : {MeasureFn(), beside_full({})}) {
    const TuneResult result = on_held_out(measure);
    ASSERT_EQ(result.best().settings, Settings("full"));
    const std::string table = cli::to_text(result);
    EXPECT_EQ(table.find("nan"), std::string::npos) << table;
    EXPECT_NE(table.find("is unknown"), std::string::npos) << table;
    EXPECT_TRUE(cli::to_json(result)["held_out"][0]["gap"]["to_worst_tuned_on"].is_null());
    EXPECT_EQ(settings_file(result, {}).find("nan"), std::string::npos);
  }
}

TEST_F(TuneTwo, EachTraceHasTheCalibrationThatIsItsOwn) {
  Calibration slow = run_->info().calibration;
  slow.weights_ms = 100;
  options_.calibrations = {run_->info().calibration, slow};
  const TuneResult result = both();
  EXPECT_LT(result.traces[0].full_cost, 1);
  EXPECT_GT(result.traces[1].full_cost, 100);
}

}  // namespace
}  // namespace reattend
