// The tuner: its grid, its front, its bounds, its choice by prediction, and the file it leaves.
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "cli/reports/replay.h"
#include "cli/reports/tune.h"
#include "cli/reports/tune_words.h"
#include "tests/replay/tuned.h"
#include "tests/support/scratch_folder.h"
#include "tune/settings_evidence.h"
#include "tune/settings_file.h"

namespace reattend {
namespace {

bool no_worse(const Candidate& a, const Candidate& b) {
  return a.cost <= b.cost && a.estimate <= b.estimate && a.lost <= b.lost;
}

TEST_F(Tune, SweepsTheWholeGridAndItsNumbersAreTheReplays) {
  const TuneResult result = tuned();
  ASSERT_EQ(result.candidates.size(), 8U);  // 2 budgets x (2 strides + 1 gate stride x 2 thresholds)
  Replayer replayer(run_, pool_);
  for (const Candidate& candidate : result.candidates) {
    const ReplaySummary total = replayer.run({.settings = candidate.settings}, {}, Cancel()).total;
    EXPECT_TRUE(candidate.whole);
    EXPECT_NEAR(candidate.cost, total.ms_per_token, 1e-12);
    EXPECT_NEAR(candidate.speed_up, total.ms_per_token_full / total.ms_per_token, 1e-9);
    EXPECT_NEAR(candidate.lost, total.lost, 1e-12);
    EXPECT_NEAR(candidate.output_error_p95, total.output_error_p95, 1e-12);
    EXPECT_NEAR(candidate.effective_stride, total.effective_stride, 1e-12);
  }
}

TEST_F(Tune, TheFrontHoldsWhatNothingElseBeats) {
  const TuneResult result = tuned();
  int n_front = 0;
  for (size_t i = 0; i < result.candidates.size(); ++i) {
    const Candidate& candidate = result.candidates[i];
    if (i > 0) {
      EXPECT_LE(result.candidates[i - 1].cost, candidate.cost) << "fastest first";
    }
    n_front += candidate.on_front;
    bool beaten = false;
    for (const Candidate& other : result.candidates)
      beaten = beaten || (no_worse(other, candidate) && !no_worse(candidate, other));
    EXPECT_EQ(candidate.on_front, !beaten) << candidate.settings.summary();
  }
  EXPECT_GE(n_front, 2);
}

TEST_F(Tune, WithoutMeasuringTheFastestWithinBoundsIsChosen) {
  const TuneResult all = tuned();
  options_.bounds.max_lost_mass = all.candidates[all.candidates.size() / 2].lost;  // some meet it, some do not
  const TuneResult result = tuned();
  ASSERT_TRUE(result.best().within_bounds && result.best().on_front) << cli::reason_in_words(result);
  for (const Candidate& candidate : result.candidates) {
    EXPECT_EQ(candidate.within_bounds,
              candidate.lost <= options_.bounds.max_lost_mass && candidate.output_error_p95 <= 10);
    if (candidate.within_bounds && candidate.on_front) {
      EXPECT_LE(result.best().cost, candidate.cost);
    }
  }
}

TEST_F(Tune, BoundsThatNothingMeetsAreSaidAndTheNearestIsChosen) {
  options_.bounds = {.max_output_error = 1e-3, .max_lost_mass = 1e-3};
  const TuneResult result = tuned();
  EXPECT_NE(cli::reason_in_words(result).find("No setting"), std::string::npos) << cli::reason_in_words(result);
  const auto excess = [](const Candidate& p) { return std::max(p.output_error_p95, p.lost) / 1e-3; };
  for (const Candidate& candidate : result.candidates) {
    if (candidate.on_front && candidate.cost < result.full_cost) {
      EXPECT_LE(excess(result.best()), excess(candidate));
    }
  }
}

TEST_F(Tune, ATimeBoundKeepsOutWhatIsPredictedSlower) {
  const TuneResult all = tuned();
  options_.bounds.max_ms = all.candidates[all.candidates.size() / 2].cost;
  const TuneResult result = tuned();
  for (const Candidate& candidate : result.candidates)
    EXPECT_EQ(candidate.within_bounds, candidate.cost <= *options_.bounds.max_ms);
}

TEST_F(Tune, KlIsPredictedOnlyForTheModelThatWasStudiedOrVerified) {
  EXPECT_TRUE(std::isnan(tuned().best().predicted_kl));
  VerifiedSetting seen = {.settings = Settings("recycled"),
                          .estimates = {{"step_error_middle_rms", 0.5}},
                          .measured = {.kl = 0.25, .agreement = 0.9}};
  seen.predicted_ms = 1, seen.measured.ms = 2, seen.predicted_full_ms = 1, seen.measured.full_ms = 3;
  const TuneResult before = tuned();
  options_.verified = {seen};
  const TuneResult result = tuned();
  EXPECT_NEAR(result.prediction.kl(0.5), 0.25, 1e-9) << "the verified setting itself is met";
  EXPECT_NEAR(result.full_cost, 3 * before.full_cost, 1e-9);
  EXPECT_NEAR(result.candidates.front().cost, 2 * before.candidates.front().cost, 1e-9);
  EXPECT_NE(cli::reason_in_words(result).find("times x 2.00 (full attention's x 3.00), KL x"), std::string::npos)
      << cli::reason_in_words(result);
  options_.verified.front().predicted_ms = options_.verified.front().predicted_full_ms = 0;  // of another machine
  const TuneResult untimed = tuned();
  EXPECT_NEAR(untimed.full_cost, before.full_cost, 1e-9);
  EXPECT_NE(cli::reason_in_words(untimed).find("verified setting: KL x"), std::string::npos)
      << cli::reason_in_words(untimed);
}

// One law for all models would be off by three times on Gemma: each has its own, and another favourite.
TEST_F(Tune, AStudiedModelHasItsOwnLaw) {
  const std::map<std::string, std::string> favourites = {
      {"b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53", "step_error_half_rms"},
      {"1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32", "step_error_middle_rms"},
      {"cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046", "step_error_half_rms"},
      {"a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818", "step_error_p95"}};
  std::set<double> same_estimate;
  for (const auto& [sha256, favourite] : favourites) {
    TraceInfo info;
    info.attributes["model_sha256"] = sha256;
    const Prediction usual = make_prediction(info, "", {});
    EXPECT_TRUE(usual.of_this_model);
    EXPECT_EQ(usual.estimate, favourite);
    EXPECT_TRUE(usual.curve.exists());
    same_estimate.insert(make_prediction(info, "step_error_middle_rms", {}).kl(0.3));
    info.has_values = false;
    EXPECT_EQ(make_prediction(info, "", {}).estimate, "largest_lost");
  }
  EXPECT_EQ(same_estimate.size(), favourites.size());
  const Prediction unknown = make_prediction(TraceInfo(), "", {});
  EXPECT_FALSE(unknown.of_this_model);
  EXPECT_FALSE(unknown.curve.exists());
  EXPECT_GT(unknown.within, 0.5);
  EXPECT_NE(cli::prediction_in_words(unknown).find("nothing is known until a setting is verified"), std::string::npos);
}

TEST_F(Tune, AVerifiedSettingCountsOnceAndAbsurdOnesAreRefused) {
  VerifiedSetting seen = {.settings = Settings("recycled"),
                          .estimates = {{"step_error_half_rms", 0.5}},
                          .measured = {.kl = 0.25, .agreement = 0.9}};
  seen.predicted_ms = 1, seen.measured.ms = 2, seen.trace = "a", seen.model_sha256 = "b";
  VerifiedSetting other = seen;
  other.measured.ms = 1, other.trace = "c";
  const KlCurve curve = {.scale = 1, .power = 1, .n = 9};
  const Correction once = correction_from({seen, other}, "step_error_half_rms", curve),
                   often = correction_from({seen, seen, other, seen}, "step_error_half_rms", curve);
  EXPECT_EQ(once.ms, 1.5);
  EXPECT_EQ(often.ms, once.ms);
  EXPECT_EQ(often.n, 2);
  seen.trace.clear();
  VerifiedSetting elsewhere = seen;
  elsewhere.measured.kl = 0.3;
  EXPECT_EQ(correction_from({seen, elsewhere, seen}, "step_error_half_rms", curve).n, 2) << "older files do not say";

  const std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("reattend_verified_" + std::to_string(::getpid()) + ".json");
  nlohmann::json json = {{"verified", to_json(other)}};
  const auto read = [&] {
    write_text_file(path, json.dump(), true);
    return read_verified(path);
  };
  EXPECT_EQ(read().trace, "c");
  EXPECT_EQ(read().model_sha256, "b");
  json["verified"].erase("trace"), json["verified"].erase("model_sha256");
  EXPECT_EQ(read().trace, "");
  EXPECT_EQ(read().measured.ms, 1) << "as before";
  json["verified"]["ms"] = 2e6;
  EXPECT_THROW(read(), Error);
  json["verified"]["ms"] = 1, json["verified"]["agreement"] = 1.5;
  EXPECT_THROW(read(), Error);
  std::filesystem::remove(path);
}

TEST_F(Tune, OtherPoliciesJoinTheSweepAndAnUnknownEstimateIsRefused) {
  Settings h2o("h2o");
  h2o.set("K", int64_t{32});
  options_.grid.more = {h2o};
  options_.estimate = "lost_mass";
  const TuneResult result = tuned();
  EXPECT_EQ(result.candidates.size(), 9U);
  for (const Candidate& candidate : result.candidates) EXPECT_NEAR(candidate.estimate, candidate.lost, 1e-6);
  options_.estimate = "magic";
  EXPECT_THROW(tuned(), Error);
}

TEST_F(Tune, AScreenedSweepReportsOnlyWholeNumbersOnItsFront) {
  options_.n_whole = 3, options_.n_screen_layer = 1;
  const TuneResult result = tuned();
  EXPECT_EQ(result.candidates.size(), 8U);
  int n_whole = 0;
  Replayer replayer(run_, pool_);
  for (const Candidate& candidate : result.candidates) {
    n_whole += candidate.whole;
    if (candidate.on_front) {
      ASSERT_TRUE(candidate.whole);
      EXPECT_NEAR(candidate.lost, replayer.run({.settings = candidate.settings}, {}, Cancel()).total.lost, 1e-12);
    }
  }
  EXPECT_GE(n_whole, 3);
  EXPECT_LT(n_whole, 8);
  EXPECT_TRUE(result.best().whole);
}

TEST_F(Tune, WithoutCalibrationBytesRankAndWithoutValuesMass) {
  run_ = std::make_shared<HandMade>(HandMadeShape{.n_layer = 2, .n_prompt = 128, .n_step = 24, .values = false}, 5);
  options_.bounds.max_output_error.reset();
  const TuneResult result = tuned();
  EXPECT_FALSE(result.calibrated);
  Replayer replayer(run_, pool_);
  const ReplaySummary total = replayer.run({.settings = result.best().settings}, {}, Cancel()).total;
  EXPECT_GT(total.bytes_select, 0) << "kept rows are read to be packed";
  EXPECT_NEAR(result.best().cost, (total.bytes_attend + total.bytes_select) * 1e-6, 1e-12);
  EXPECT_NE(cli::to_text(result).find("MB/token"), std::string::npos);
  EXPECT_NE(cli::to_text(result).find("no values"), std::string::npos);
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
  grid.bases.front().set("pool", int64_t{15});
  const TraceInfo* const traces[] = {&run_->info()};
  const std::vector<Settings> all = make_grid(grid, traces).settings;
  EXPECT_GT(all.size(), 50U);
  for (size_t i = 1; i < all.size(); ++i) EXPECT_GE(all[i - 1].count("K", 0, 128), all[i].count("K", 0, 128));
  EXPECT_EQ(all.front().count("K", 0, 128), 64);
  EXPECT_EQ(all.back().count("K", 0, 128), 4);
  for (const Settings& settings : all) EXPECT_EQ(settings.count("pool", 0, 128), 15);
}

TEST_F(Tune, TheSettingsFileIsReadBackAndHoldsItsEvidence) {
  run_->info().path = "a \"strange\"\npath\\x.h5";
  const TuneResult result =
      tuned([](const Settings&, size_t) { return Score{.kl = 0.01, .agreement = 0.97, .ms = 3}; });
  const std::string text = settings_file(result, {});
  EXPECT_EQ(Settings::from_toml(text, "x"), result.best().settings) << text;
  for (const char* part :
       {"[evidence.predicted]", "output_error_p95", "mean_kl = 0.01", "max_mean_kl = 0.1", "n_prompt = 128"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
  const test::ScratchFolder folder;
  std::ofstream(folder / "tuned.toml") << text;
  const SettingsFile file = read_settings_file(folder / "tuned.toml");
  EXPECT_EQ(file.settings, result.best().settings);
  EXPECT_NE(file.evidence.find("0.01 measured"), std::string::npos) << file.evidence;
  TraceInfo info = run_->info();
  EXPECT_TRUE(file.names(info));
  ++info.n_step;
  EXPECT_FALSE(file.names(info)) << "another trace of that name";
}

TEST_F(Tune, SchedulesByLayerWhoseNamesLookAlikeHaveNumbers) {
  run_ = std::make_shared<HandMade>(HandMadeShape{.n_layer = 8, .n_prompt = 160, .n_step = 24}, 11);
  run_->info().calibration = {.weights_ms = 1e-3, .stream_gbps = 40, .attend_stream_gbps = 20, .score_gbps = 15};
  options_.grid.tried["K"] = {std::string("L/2"), std::string("L/4"), std::string("L/16")};
  options_.n_schedule = 9;
  const TuneResult result = tuned();
  const nlohmann::json json = cli::to_json(result);
  const std::string table = cli::to_text(result);
  int n = 0;
  for (size_t i = 0; i < result.candidates.size(); ++i) {
    const Candidate& candidate = result.candidates[i];
    EXPECT_EQ(json["points"][i].contains("schedule"), candidate.schedule > 0);
    if (candidate.schedule == 0) continue;
    EXPECT_EQ(candidate.schedule, ++n) << "cheapest first";
    const std::string number = " #" + std::to_string(n);
    EXPECT_EQ(name_of(candidate), candidate.settings.summary() + number);
    if (candidate.on_front) {
      EXPECT_NE(table.find("by layer" + number), std::string::npos) << table;
    }
  }
  EXPECT_GT(n, 2);
}

TEST_F(Tune, JsonAndTablesHoldTheChoice) {
  const TuneResult result = tuned();
  const nlohmann::json json = nlohmann::json::parse(cli::to_json(result).dump());
  EXPECT_EQ(json["points"].size(), 8U);
  EXPECT_EQ(Settings::from_json(json["chosen"]["settings"], "x"), result.best().settings);
  EXPECT_NE(cli::to_text(result).find("* " + result.best().settings.summary()), std::string::npos);
  Replayer replayer(run_, pool_);
  Settings never("recycled");
  never.set("S", Value());
  const ReplayResult replayed = replayer.run({.settings = never}, {}, Cancel());
  const nlohmann::json one = nlohmann::json::parse(cli::to_json(replayed, run_->info()).dump());
  EXPECT_TRUE(one["total"]["effective_stride"].is_null());
  EXPECT_EQ(one["layers"].size(), 3U);
  EXPECT_NE(cli::to_text(replayed, run_->info()).find("predicted: "), std::string::npos);
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
