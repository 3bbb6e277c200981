// Where predicted times come from, and that it is said: the trace, a file, a data sheet, or the minutes of measuring.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include <nlohmann/json.hpp>

#include "tests/support/program.h"

namespace reattend::test {
namespace {

using nlohmann::json;
const std::string kTiny = "tests/golden/models/tiny_llama.gguf";

class CalibrationCommand : public ::testing::Test {
 protected:
  static ProgramResult run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), REATTEND_PROGRAM);
    return run_program(std::move(arguments));
  }
  std::string file(const std::string& name) const { return (folder_ / name).string(); }
  std::string record(const std::string& name, const std::string& context = "90", bool calibrated = true) {
    std::vector<std::string> arguments = {
        "record",    "--raw", "--ignore-end", "--model", kTiny,   "--prompt-file", "assets/prose.txt",
        "--context", context, "--steps",      "12",      "--out", file(name)};
    if (!calibrated) arguments.push_back("--no-calibration");
    const ProgramResult recorded = run(arguments);
    EXPECT_EQ(recorded.code, 0) << recorded.err;
    return file(name);
  }
  /// A replay's text or JSON.
  static ProgramResult replay(const std::string& trace, std::vector<std::string> more) {
    more.insert(more.begin(), {"replay", trace, "--stride", "4", "--budget", "16", "--no-output-error"});
    return run(std::move(more));
  }
  static void expect_refused(const ProgramResult& result, int code, const std::string& part) {
    EXPECT_EQ(result.code, code) << result.err;
    EXPECT_EQ(result.out, "");
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }
  ScratchFolder folder_;
};

TEST_F(CalibrationCommand, AReplaySaysWhoseTimesItPredicts) {
  const std::string a = record("a.h5"), bare = record("b.h5", "90", false);
  EXPECT_NE(replay(a, {}).out.find("times: from the calibration in the trace"), std::string::npos);
  EXPECT_EQ(json::parse(replay(a, {"--json"}).out)["times"]["source"], "trace");
  const ProgramResult none = replay(bare, {});
  EXPECT_EQ(none.code, 0) << none.err;
  EXPECT_NE(none.out.find("no calibration"), std::string::npos) << none.out;

  // A file's times, also where the trace has none; they scale with its numbers.
  const std::string here = file("here.json");
  json made = {{"calibration",
                {{"weights_ms", 1000.0},
                 {"stream_gbps", 10.0},
                 {"attend_stream_gbps", 10.0},
                 {"attend_gather_gbps", 10.0},
                 {"score_gbps", 10.0}}}};
  std::ofstream(here) << made.dump();
  const json from_file = json::parse(replay(bare, {"--calibration", here, "--json"}).out);
  EXPECT_EQ(from_file["times"]["source"], "file");
  EXPECT_GT(from_file["total"]["ms_per_token"], 1000);
  EXPECT_LT(from_file["total"]["ms_per_token"], 1001);
  EXPECT_NE(replay(a, {"--calibration", here}).out.find(here), std::string::npos);
  expect_refused(replay(a, {"--calibration", a}), 1, "reattend calibrate");
}

TEST_F(CalibrationCommand, ATimeFromADataSheetIsCalledThatInTextAndJson) {
  const std::string a = record("a.h5", "90", false);
  const ProgramResult text = replay(a, {"--datasheet", "4090"});
  ASSERT_EQ(text.code, 0) << text.err;
  EXPECT_NE(text.out.find("from the data sheet of RTX 4090: 1008 GB/s"), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("nothing was measured"), std::string::npos);
  const json slow = json::parse(replay(a, {"--datasheet", "RTX 4090", "--json"}).out),
             quick = json::parse(replay(a, {"--datasheet", "H200", "--json"}).out);
  EXPECT_EQ(slow["times"]["source"], "datasheet");
  EXPECT_EQ(slow["times"]["measured"], false);
  EXPECT_EQ(slow["times"]["gbps"], 1008);
  EXPECT_GT(slow["times"]["weight_bytes"], 0);
  const double ratio = slow["total"]["ms_per_token"].get<double>() / quick["total"]["ms_per_token"].get<double>();
  EXPECT_NEAR(ratio, 4800.0 / 1008, 1e-6);
  expect_refused(replay(a, {"--datasheet", "RTX 4099"}), 2, "RTX 4090");
  EXPECT_EQ(replay(a, {"--datasheet", "h200"}).code, 0) << "case does not matter";
  expect_refused(replay(a, {"--datasheet", "h100"}), 2, "expected one of H100 PCIe, H100 SXM, got 'h100'");
  expect_refused(replay(file("none.h5"), {"--datasheet", "abacus"}), 2, "--list");
  EXPECT_EQ(replay(a, {"--datasheet", "H200", "--calibration", a}).code, 2);
}

/// Scripts of a version ago go on working, and hear of it.
TEST_F(CalibrationCommand, AnOldNameOfAnOptionIsTakenAndNamesTheNewOne) {
  const std::string a = record("a.h5", "90", false);
  const ProgramResult now = replay(a, {"--datasheet", "H200", "--json"}),
                      old = replay(a, {"--on-paper", "H200", "--json"});
  ASSERT_EQ(old.code, 0) << old.err;
  EXPECT_EQ(old.out, now.out);
  EXPECT_EQ(now.err, "");
  EXPECT_NE(old.err.find("--on-paper is now called --datasheet"), std::string::npos) << old.err;
  EXPECT_EQ(std::count(old.err.begin(), old.err.end(), '\n'), 1) << old.err;
  EXPECT_EQ(run({"tune", "--help"}).out.find("--on-paper"), std::string::npos) << "only the new name is offered";
  EXPECT_EQ(replay(a, {"--on-paper", "H200", "--calibration", a}).code, 2) << "it excludes what the new name excludes";
  expect_refused(replay(a, {"--on-paper", "abacus"}), 2, "--list");
  expect_refused(replay(a, {"--on-paper", "H200", "--datasheet", "H200"}), 2, "--datasheet beside it");
  expect_refused(replay(a, {"--on-paper"}), 2, "--datasheet: expected a value");
}

/// A settings file outlives the command that wrote it: whoever reads it later must see that nothing was measured.
TEST_F(CalibrationCommand, WhatIsTunedByADataSheetSaysSoInTextJsonAndSettings) {
  const std::string a = record("a.h5", "90", false), toml = file("tuned.toml");
  const std::vector<std::string> command = {"tune",  a,           "--datasheet", "H200",           "--budgets",
                                            "16",    "--strides", "4",           "--gate-strides", "2",
                                            "--out", toml,        "--force"};
  const ProgramResult text = run(command);
  ASSERT_EQ(text.code, 0) << text.err;
  EXPECT_NE(text.out.find("times: from the data sheet of H200: 4800 GB/s"), std::string::npos) << text.out;
  std::ifstream in(toml);
  const std::string written{std::istreambuf_iterator<char>(in), {}};
  EXPECT_NE(written.find("times_from = \"from the data sheet of H200"), std::string::npos) << written;
  std::vector<std::string> as_json = command;
  as_json.push_back("--json");
  const json result = json::parse(run(as_json).out);
  EXPECT_EQ(result["times"]["measured"], false);
  EXPECT_EQ(result["times"]["gpu"], "H200");
}

/// A step's weights are one model's: a toy with another's numbers is a thousand times too slow.
TEST_F(CalibrationCommand, ACalibrationOfAnotherModelOrCacheIsRefusedAndAnotherMachineIsNamed) {
  const std::string a = record("a.h5"), here = file("here.json"), toml = file("t.toml");
  const ProgramResult found = run({"calibrate", "--model", kTiny, "--tokens", "512", "--out", here});
  ASSERT_EQ(found.code, 0) << found.err;
  const json made = json::parse(std::ifstream(here));
  const auto with = [&](const char* key, const json& value) {
    json other = made;
    other[key] = value;
    std::ofstream(here) << other.dump();
  };
  EXPECT_NE(replay(a, {"--calibration", here}).out.find("measured by `reattend calibrate`\n"), std::string::npos);
  with("model_sha256", std::string(64, 'f'));
  expect_refused(replay(a, {"--calibration", here}), 1,
                 "got one of the model tiny_llama.gguf (SHA-256 ffffffffffff...)");
  expect_refused(run({"tune", a, "--calibration", here, "--out", toml}), 1,
                 "reattend calibrate --model tiny_llama.gguf");
  with("kv", "q8");
  expect_refused(replay(a, {"--calibration", here}), 1, "--kv f16");
  with("device", "abacus");
  const ProgramResult named = replay(a, {"--calibration", here});
  ASSERT_EQ(named.code, 0) << named.err;
  EXPECT_NE(named.out.find("on abacus with"), std::string::npos) << named.out;
  EXPECT_NE(named.out.find("the trace was recorded on cpu with"), std::string::npos) << named.out;
  with("calibration", {{"weights_ms", 1e300}});
  expect_refused(replay(a, {"--calibration", here}), 1, "run `reattend calibrate --out`");
}

TEST_F(CalibrationCommand, AComparisonSaysWhatIsNotTheMachines) {
  const std::string a = record("a.h5"), trace = "tests/golden/traces/recycled_1_0.h5";
  const std::vector<std::string> small = {"calibrate", "--model", kTiny, "--tokens", "512", "--trace"};
  const auto compared = [&](const std::string& with, const std::vector<std::string>& more) {
    std::vector<std::string> command = small;
    command.push_back(with);
    command.insert(command.end(), more.begin(), more.end());
    return run(command);
  };
  EXPECT_EQ(compared(a, {}).out.find("its numbers are"), std::string::npos);
  const std::string cache = compared(a, {"--kv", "f32"}).out;
  EXPECT_NE(cache.find("in trace: its numbers are of a cache of f16 (here f32)"), std::string::npos) << cache;
  const ProgramResult other = run({"calibrate", "--model", "tests/golden/models/tiny_quant.Q8_0.gguf", "--tokens",
                                   "512", "--trace", a, "--ctx", "600"});
  ASSERT_EQ(other.code, 0) << other.err;
  EXPECT_NE(other.out.find("of another model (tiny_llama.gguf)"), std::string::npos) << other.out;
  // That trace knows no attend_ms: 0.00 would be a measurement.
  const std::string old = compared(trace, {}).out;
  const size_t row = old.find("attention, of any length");
  ASSERT_NE(row, std::string::npos) << old;
  EXPECT_NE(old.substr(row, old.find('\n', row) - row).find(" -"), std::string::npos) << old;
}

/// Parts of a short prompt's attention are noise, and what is noise is not stored.
TEST_F(CalibrationCommand, AShortRecordingStoresWeightsAndPlainReadingAndSaysSo) {
  const ProgramResult recorded =
      run({"record", "--raw", "--ignore-end", "--model", kTiny, "--prompt-file", "assets/prose.txt", "--context", "31",
           "--steps", "12", "--out", file("short.h5")});
  ASSERT_EQ(recorded.code, 0) << recorded.err;
  EXPECT_NE(recorded.err.find("calibration  attention takes a prompt of 512 tokens"), std::string::npos)
      << recorded.err;
  const json in_trace = json::parse(
      run({"calibrate", "--model", kTiny, "--tokens", "512", "--trace", file("short.h5"), "--json"}).out)["in_trace"];
  EXPECT_GT(in_trace["weights_ms"], 0);
  EXPECT_GT(in_trace["stream_gbps"], 0);
  EXPECT_EQ(in_trace["attend_gather_gbps"], 0);
  EXPECT_FALSE(in_trace.contains("page_ns"));
  EXPECT_GT(json::parse(replay(file("short.h5"), {"--json"}).out)["total"]["ms_per_token"], 0);
  expect_refused(run({"calibrate", "--model", kTiny, "--tokens", "511"}), 2, "--tokens");
}

TEST_F(CalibrationCommand, AnOptionThatWouldDoNothingIsRefused) {
  const std::string none = file("none.h5");
  expect_refused(replay(none, {"--datasheet", ""}), 2, "--datasheet: expected a value");
  expect_refused(replay(none, {"--calibration", ""}), 2, "--calibration: expected a value");
  expect_refused(run({"calibrate", "--list", "--out", file("x.json")}), 2, "--list");
  expect_refused(run({"calibrate", "--list", "--trace", none}), 2, "--list");
  expect_refused(run({"tune", none, "--device", "reference"}), 2, "--model");
  expect_refused(run({"tune", none, "--prompt-cache", file("x")}), 2, "--model");
}

TEST_F(CalibrationCommand, TheKnownGpusAreListedAsNotMeasured) {
  const ProgramResult text = run({"calibrate", "--list"});
  ASSERT_EQ(text.code, 0) << text.err;
  EXPECT_NE(text.out.find("nothing here was measured"), std::string::npos);
  EXPECT_NE(text.out.find("MI300X"), std::string::npos);
  const json all = json::parse(run({"calibrate", "--list", "--json"}).out);
  EXPECT_EQ(all["measured"], false);
  EXPECT_GE(all["gpus"].size(), 14U);
}

TEST_F(CalibrationCommand, AStudyHoldsTimesAgainstACalibrationOfTheSameMinutes) {
  const std::string a = record("a.h5"), b = record("b.h5", "70"), out = file("study"), prompts = file("prompts");
  const std::vector<std::string> both = {"study",
                                         a,
                                         b,
                                         "--model",
                                         kTiny,
                                         "--out",
                                         out,
                                         "--no-mass",
                                         "--repeats",
                                         "1",
                                         "--policies",
                                         "recycled:S=4:K=16,tova:K=16",
                                         "--settings",
                                         "--prompt-cache",
                                         prompts};
  expect_refused(run(both), 2, "folder");
  std::filesystem::create_directory(prompts);
  const ProgramResult studied = run(both);
  ASSERT_EQ(studied.code, 0) << studied.err;
  const auto expect_rows = [&] {
    std::ifstream in(out + "/study.md");
    const std::string report(std::istreambuf_iterator<char>(in), {});
    for (const char* part : {"recalibrated", "| tova | 2 |", "| full | 2 |", "| **all** | **6** |"}) {
      EXPECT_NE(report.find(part), std::string::npos) << part << "\n" << report;
    }
  };
  expect_rows();
  for (const char* part : {"recalibrated", "\n* all", "across prompts", "scatter.svg"}) {
    EXPECT_NE(studied.out.find(part), std::string::npos) << part << "\n" << studied.out;
  }
  const json kept = json::parse(std::ifstream(out + "/prompt-a.json"));
  EXPECT_GT(kept["calibration"]["weights_ms"], 0);
  EXPECT_GT(kept["recalibrated_full_ms"], 0);
  // A prompt of an older study, and of policies that the other has not, still has its rows.
  json old = json::parse(std::ifstream(out + "/prompt-b.json"));
  old["recalibrated_full_ms"] = 0.0, old.erase("calibration");
  for (json& point : old["points"]) point["recalibrated_ms"] = 0.0;
  std::ofstream(out + "/prompt-b.json") << old.dump();
  const ProgramResult reported = run({"study", "--out", out});
  ASSERT_EQ(reported.code, 0) << reported.err;
  expect_rows();
  for (const json& point : kept["points"]) {
    EXPECT_GT(point["recalibrated_ms"], 0);
    EXPECT_GT(point["work"]["kept"], 0);
  }
  EXPECT_TRUE(std::filesystem::exists(prompts + "/a.prompt"));
  EXPECT_TRUE(std::filesystem::exists(prompts + "/b.prompt"));
}

TEST_F(CalibrationCommand, VerifySaysWhatIsTheMachinesFault) {
  const std::string a = record("a.h5");
  const ProgramResult verified = run({"verify", a, "--model", kTiny, "--policy", "recycled", "--stride", "4",
                                      "--budget", "16", "--repeats", "2", "--json"});
  ASSERT_EQ(verified.code, 0) << verified.err;
  const json found = json::parse(verified.out);
  EXPECT_GT(found["recalibrated_ms"], 0);
  const json& lines = found["findings"];
  EXPECT_TRUE(std::any_of(lines.begin(), lines.end(), [](const json& line) {
    return line.get<std::string>().find("recalibrated between the timed runs") != std::string::npos &&
           line.get<std::string>().find("Of a prompt below 512 tokens") != std::string::npos;
  })) << lines;
}

}  // namespace
}  // namespace reattend::test
