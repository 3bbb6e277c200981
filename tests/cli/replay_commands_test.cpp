// `reattend replay` and `reattend tune` as a user meets them: what they print, what they write, what they refuse.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include <nlohmann/json.hpp>

#include "policies/policy.h"
#include "tests/support/program.h"

namespace reattend {
namespace {

using test::ProgramResult;

class Commands : public ::testing::Test {
 protected:
  /// Runs `reattend ARGUMENTS`.
  static ProgramResult run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), REATTEND_PROGRAM);
    return test::run_program(arguments);
  }
  void SetUp() override {
    const ProgramResult recorded =
        run({"record", "--raw", "--ignore-end", "--model", "tests/golden/models/tiny_llama.gguf", "--prompt-tokens",
             "tests/golden/policies/tiny_recycled_s4_k16.json", "--steps", "24", "--out", trace()});
    ASSERT_EQ(recorded.code, 0) << recorded.err;
  }
  std::string trace() const { return (folder_ / "trace.h5").string(); }
  std::string file(const std::string& name) const { return (folder_ / name).string(); }

  /// One line on stderr that holds `part`, nothing on stdout.
  static void expect_refused(const ProgramResult& result, int code, const std::string& part) {
    EXPECT_EQ(result.code, code) << result.err;
    EXPECT_EQ(result.out, "");
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }

  test::ScratchFolder folder_;
};

TEST_F(Commands, ReplayPrintsARowPerLayerAndTheSameNumbersAsJson) {
  const ProgramResult table = run({"replay", trace(), "--stride", "4", "--budget", "16"});
  ASSERT_EQ(table.code, 0) << table.err;
  EXPECT_NE(table.out.find("recycled S=4 K=16"), std::string::npos);
  EXPECT_NE(table.out.find("predicted: "), std::string::npos) << table.out;
  const ProgramResult text = run({"replay", trace(), "--stride", "4", "--budget", "16", "--json"});
  const nlohmann::json json = nlohmann::json::parse(text.out);
  EXPECT_EQ(json["layers"].size(), 3U);
  EXPECT_EQ(json["total"]["effective_stride"], 4);
  EXPECT_GT(json["total"]["recovered"], 0.3);
  EXPECT_GT(json["total"]["output_error_p95"], 0);
  char recovered[16];
  std::snprintf(recovered, sizeof recovered, "%.4f", json["total"]["recovered"].get<double>());
  EXPECT_NE(table.out.find(recovered), std::string::npos);
}

TEST_F(Commands, ReplayTakesEveryPolicyAndPrintsADashForWhatItDoesNotHave) {
  for (const char* policy : {"full", "recycled", "oracle", "streaming", "streaming_refresh", "h2o", "snapkv",
                             "pyramidkv", "tova", "quest", "tokenselect"}) {
    std::vector<std::string> arguments = {"replay", trace(), "--policy", policy};
    if (std::string(policy) != "full") arguments.insert(arguments.end(), {"--budget", "40"});
    const ProgramResult table = run(arguments);
    ASSERT_EQ(table.code, 0) << policy << ": " << table.err;
    EXPECT_EQ(table.out.find("nan"), std::string::npos) << table.out;
    std::istringstream lines(table.out.substr(table.out.find("\ntotal ")));
    std::vector<std::string> cells;
    for (std::string cell; cells.size() < 6 && lines >> cell;) cells.push_back(cell);
    EXPECT_EQ(cells[4] == "-", std::string(policy) != "recycled") << table.out;  // overlap with what it keeps
    EXPECT_EQ(cells[5] == "-", std::string(policy) != "recycled") << table.out;
    arguments.emplace_back("--json");
    const nlohmann::json json = nlohmann::json::parse(run(arguments).out);
    EXPECT_EQ(Settings::from_json(json["settings"], "x").policy(), policy);
    EXPECT_GT(json["total"]["recovered"], 0.2);
  }
}

// A long decode's rows grow with its steps squared: with less memory than they take everything must come out the same.
TEST_F(Commands, AnyMemoryGivesTheSameNumbersAndTooLittleNamesItsOption) {
  const std::string path = file("long.h5");
  const ProgramResult recorded =
      run({"record", "--raw", "--ignore-end", "--model", "tests/golden/models/tiny_llama.gguf", "--prompt",
           "hello world", "--steps", "700", "--ctx", "2000", "--maps", "top:8", "--no-calibration", "--out", path});
  ASSERT_EQ(recorded.code, 0) << recorded.err;
  for (const std::vector<std::string>& command : std::vector<std::vector<std::string>>{
           {"replay", path, "--stride", "16", "--budget", "64", "--json"},
           {"replay", path, "--policy", "h2o", "--budget", "64", "--json"},
           {"analyse", path, "--what", "lost,sensitivity,coverage", "--budget", "64", "--stride", "16", "--json"},
           {"tune", path, "--out", file("tuned.toml"), "--force", "--budgets", "16,64", "--strides", "4,16",
            "--gate-strides", "4", "--thresholds", "0.8", "--schedules", "3", "--json"}}) {
    const auto with = [&](const std::string& gigabytes) {
      std::vector<std::string> arguments = command;
      arguments.insert(arguments.end(), {"--memory", gigabytes});
      return run(arguments);
    };
    const ProgramResult plenty = with("2"), little = with("0.005");
    ASSERT_EQ(plenty.code, 0) << command[0] << ": " << plenty.err;
    ASSERT_EQ(little.code, 0) << command[0] << ": " << little.err;
    EXPECT_EQ(plenty.out, little.out) << command[0];
    expect_refused(with("0.0001"), 1, "give --memory 0.0");
    expect_refused(with("0"), 2, "--memory");
  }
}

TEST_F(Commands, WhatATraceWithoutPromptRowsCannotReplayIsSaid) {
  const ProgramResult recorded =
      run({"record", "--raw", "--ignore-end", "--model", "tests/golden/models/tiny_llama.gguf", "--prompt-tokens",
           "tests/golden/policies/tiny_recycled_s4_k16.json", "--steps", "2", "--no-calibration", "--no-prompt-rows",
           "--out", file("lean.h5")});
  ASSERT_EQ(recorded.code, 0) << recorded.err;
  expect_refused(run({"replay", file("lean.h5"), "--policy", "h2o"}), 1, "`reattend record --prompt-rows`");
  EXPECT_EQ(run({"replay", file("lean.h5"), "--policy", "snapkv", "--budget", "40"}).code, 0);
  expect_refused(run({"replay", trace(), "--policy", "snapkv", "--budget", "80", "--window", "70"}), 2, "at most 64");
  EXPECT_EQ(run({"replay", trace(), "--policy", "h2o", "--budget", "8,16,200"}).code, 0);
}

TEST_F(Commands, ReplayTakesLayersAndLeavesOutOutputErrors) {
  const ProgramResult result = run({"replay", trace(), "--layers", "2,0-1", "--no-output-error", "--json"});
  ASSERT_EQ(result.code, 0) << result.err;
  const nlohmann::json json = nlohmann::json::parse(result.out);
  EXPECT_EQ(json["layers"][0]["layer"], 2);
  EXPECT_EQ(json["layers"][2]["layer"], 1);
  EXPECT_TRUE(json["total"]["output_error_p95"].is_null());
  for (const char* wrong : {"3", "x", "1-", "2-1", "0,", "-1", "0,0", "99999999999"}) {
    expect_refused(run({"replay", trace(), "--layers=" + std::string(wrong)}), 2, "layers");
  }
}

/// An interval that the exact mass is outside of would be worse than none.
TEST_F(Commands, ReplayFromMapsGivesAnIntervalThatHoldsTheExactMass) {
  for (const std::vector<std::string>& policy :
       {std::vector<std::string>{"--stride", "4", "--budget", "16"}, {"--policy", "streaming", "--budget", "16"}}) {
    std::vector<std::string> arguments = {"replay", trace(), "--json"};
    arguments.insert(arguments.end(), policy.begin(), policy.end());
    const nlohmann::json exact = nlohmann::json::parse(run(arguments).out);
    EXPECT_FALSE(exact["from_maps"]);
    EXPECT_TRUE(exact["total"]["recovered_upper"].is_null());
    arguments.emplace_back("--from-maps");
    const ProgramResult found = run(arguments);
    ASSERT_EQ(found.code, 0) << found.err;
    const nlohmann::json bounds = nlohmann::json::parse(found.out);
    EXPECT_TRUE(bounds["from_maps"]);
    EXPECT_LE(bounds["total"]["recovered"].get<double>(), exact["total"]["recovered"].get<double>() + 1e-5);
    EXPECT_GE(bounds["total"]["recovered_upper"].get<double>(), exact["total"]["recovered"].get<double>() - 1e-5);
    EXPECT_TRUE(bounds["total"]["output_error_p95"].is_null());
  }
  const ProgramResult table = run({"replay", trace(), "--from-maps", "--stride", "4", "--budget", "16"});
  EXPECT_NE(table.out.find("from maps alone: the recovered mass lies between"), std::string::npos) << table.out;
  expect_refused(run({"replay", trace(), "--from-maps", "--policy", "h2o", "--budget", "16"}), 2, "--from-maps");
  expect_refused(run({"replay", trace(), "--from-maps", "--schedule", "query"}), 2, "schedule = fixed");
}

TEST_F(Commands, BenchReplayTimesEveryKindOfChangeOnATraceAndWithoutOne) {
  for (const std::vector<std::string>& source :
       {std::vector<std::string>{trace()}, {"--context", "200", "--steps", "12", "--layers", "2"}}) {
    std::vector<std::string> arguments = {"bench", "replay", "--repeats", "2", "--json"};
    arguments.insert(arguments.end(), source.begin(), source.end());
    const ProgramResult result = run(arguments);
    ASSERT_EQ(result.code, 0) << result.err;
    const nlohmann::json json = nlohmann::json::parse(result.out);
    std::string changes;
    for (const nlohmann::json& time : json["times"]) {
      changes += time["change"].get<std::string>() + "\n";
      EXPECT_GE(time["ms"], 0);
    }
    for (const char* kind : {"K of all layers, recycled", "S of one layer", "threshold of all layers", "h2o",
                             "tokenselect", "output errors", "pool of one layer"}) {
      EXPECT_NE(changes.find(kind), std::string::npos) << kind;
    }
    EXPECT_GT(json["memory_held"], 0);
    arguments.erase(arguments.begin() + 4);
    EXPECT_NE(run(arguments).out.find("memory: "), std::string::npos);
  }
  expect_refused(run({"bench", "replay", file("none.h5")}), 1, "none.h5");
}

TEST_F(Commands, TuneWritesSettingsThatOtherCommandsAccept) {
  const std::string out = file("tuned.toml");
  const ProgramResult tuned =
      run({"tune", trace(), "--out", out, "--budgets", "L/2,16", "--strides", "4,8", "--pool", "3"});
  ASSERT_EQ(tuned.code, 0) << tuned.err;
  EXPECT_NE(tuned.out.find("Pareto front"), std::string::npos);
  EXPECT_NE(tuned.out.find("written to " + out), std::string::npos);
  const Settings settings = Settings::from_toml_file(out);
  const ProgramResult replayed = run({"replay", trace(), "--settings", out, "--json"});
  ASSERT_EQ(replayed.code, 0) << replayed.err;
  EXPECT_EQ(Settings::from_json(nlohmann::json::parse(replayed.out)["settings"], "x"), settings);
  if (settings.policy() == "recycled") {
    EXPECT_EQ(settings.count("pool", 0, 100), 3);
  }
  const ProgramResult ran = run({"run", "--raw", "--model", "tests/golden/models/tiny_llama.gguf", "--prompt-tokens",
                                 "tests/golden/policies/tiny_recycled_s4_k16.json", "--steps", "2", "--settings", out});
  EXPECT_EQ(ran.code, 0) << ran.err;
}

TEST_F(Commands, TuneSweepsAnyPolicyAndItsFileIsOne) {
  for (const PolicyInfo& info : policy_registry()) {
    if (info.name == kFullAttention) continue;
    SCOPED_TRACE(info.name);
    std::vector<std::string> arguments = {"tune",      trace(),   "--policy",      std::string(info.name),
                                          "--budgets", "L/2,L/3", "--report",      file("r.md"),
                                          "--force",   "--out",   file("any.toml")};
    if (info.takes("window")) arguments.insert(arguments.end(), {"--sweep", "window=4,8"});
    const ProgramResult tuned = run(arguments);
    ASSERT_EQ(tuned.code, 0) << tuned.err;
    EXPECT_NE(tuned.out.find("Pareto front"), std::string::npos);
    const Settings settings = Settings::from_toml_file(file("any.toml"));
    EXPECT_TRUE(settings.is_full() || settings.policy() == info.name) << settings.summary();
    EXPECT_EQ(run({"replay", trace(), "--settings", file("any.toml")}).code, 0);
  }
}

TEST_F(Commands, AdviceOfTuneIsWhatTuneTakes) {
  const std::string out = file("a.toml");
  expect_refused(run({"tune", trace(), "--beta", "3", "--out", out}), 2, "add --policy pyramidkv");
  EXPECT_EQ(run({"tune", trace(), "--beta", "3", "--policy", "pyramidkv", "--budgets", "L/2", "--out", out}).code, 0);
  expect_refused(run({"tune", trace(), "--budget", "9", "--out", out, "--force"}), 2, "expected --budgets");
  expect_refused(run({"tune", trace(), "--stride", "4", "--policy", "h2o", "--out", out, "--force"}), 2,
                 "--strides, and a policy that takes it (recycled, streaming_refresh)");
  expect_refused(run({"tune", trace(), "--rotate", "cache", "--out", out, "--force"}), 2,
                 "(streaming, streaming_refresh)");
  expect_refused(run({"tune", trace(), "--sweep", "window", "--out", out, "--force"}), 2, "KEY=V,V,..");
  expect_refused(run({"tune", trace(), "--sweep", "S=4", "--strides", "8", "--out", out, "--force"}), 2,
                 "one list of S");
}

TEST_F(Commands, TuneNeverReplacesAFileWithoutForce) {
  const std::string out = file("mine.toml");
  std::ofstream(out) << "precious";
  expect_refused(run({"tune", trace(), "--out", out}), 2, "--force");
  EXPECT_EQ(test::read_all(out), "precious");
  EXPECT_EQ(run({"tune", trace(), "--out", out, "--force", "--budgets", "16", "--strides", "8", "--json"}).code, 0);
  EXPECT_NE(test::read_all(out).find("[policy]"), std::string::npos);
  expect_refused(run({"tune", trace(), "--out", file("none/x.toml"), "--budgets", "16"}), 1, "none/x.toml");
}

TEST_F(Commands, WrongNumbersAndFilesAreOneLineAndExitCodes) {
  expect_refused(run({"replay", trace(), "--budget", "0"}), 2, "from 1 to");
  expect_refused(run({"replay", trace(), "--stride", "-4"}), 2, "from 1 to");
  expect_refused(run({"replay", trace(), "--threshold", "nan"}), 2, "from -1 to 2");
  expect_refused(run({"replay", trace(), "--policy", "recycle"}), 2, "full, recycled, oracle, streaming");
  expect_refused(run({"replay", trace(), "--policy", "streaming", "--stride", "4"}), 2, "--stride");
  expect_refused(run({"replay", trace(), "--K", "1,2"}), 2, "3 for the model's layers");
  expect_refused(run({"replay", trace(), "--dense-layers", "3"}), 2, "layers from 0 to 2");
  expect_refused(run({"replay", file("none.h5")}), 1, "none.h5");
  expect_refused(run({"replay", "README.md"}), 1, "README.md");
  expect_refused(run({"replay", trace(), "--settings", "README.md"}), 1, "README.md");
  expect_refused(run({"tune", trace(), "--max-lost-mass", "0", "--out", file("a.toml")}), 2, "--max-lost-mass");
  expect_refused(run({"tune", trace(), "--thresholds", "3", "--out", file("a.toml")}), 2, "from -1 to 2");
  expect_refused(run({"tune", trace(), "--policy", "full", "--out", file("a.toml")}), 2, "recycled");
  EXPECT_FALSE(std::filesystem::exists(file("a.toml")));
}

}  // namespace
}  // namespace reattend
