// What `reattend bench` promises: rows that programs can read, bytes that are counted, a peer interleaved with ours.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/support/program.h"

namespace reattend::test {
namespace {

std::vector<std::string> with(std::vector<std::string> arguments, const std::vector<std::string>& more) {
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

/// A benchmark of the tiny model that takes a second or so.
std::vector<std::string> tiny_bench(const std::vector<std::string>& more, const std::string& depths = "64") {
  return with({REATTEND_PROGRAM, "bench", "--model", "tests/golden/models/tiny_llama.gguf", "--depths", depths,
               "--prompt-tokens", "16", "--steps", "8", "--repeats", "2", "--budget", "16", "--stride", "4"},
              more);
}

nlohmann::json json_of(const std::vector<std::string>& arguments) {
  const ProgramResult result = run_program(arguments);
  EXPECT_EQ(result.code, 0) << result.err;
  return nlohmann::json::parse(result.out, nullptr, false);
}

TEST(Bench, RowsOfTheFileHoldWhatOthersRead) {
  const ScratchFolder folder;
  const std::string file = (folder / "bench.json").string(), chart = (folder / "roofline.svg").string();
  const ProgramResult result = run_program(tiny_bench({"--no-peer", "--json", file, "--chart", chart}, "0,64"));
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_NE(result.out.find("% stream"), std::string::npos) << "the table is printed as well";
  const auto report = nlohmann::json::parse(read_all(file), nullptr, false);
  ASSERT_TRUE(report.is_object() && report["rows"].is_array());
  ASSERT_EQ(report["rows"].size(), 5);
  for (const auto& row : report["rows"]) {
    EXPECT_TRUE(row["work"] == "decode" || row["work"] == "prefill");
    EXPECT_GT(row["tok_per_s"], 0.0);
    EXPECT_EQ(row["samples"].size(), 2);
    EXPECT_TRUE(row["peer_tok_per_s"].is_null() && row["ratio"].is_null());
    EXPECT_EQ(row["stream_percent"].is_number(), row["work"] == "decode");
  }
  EXPECT_EQ(report["rows"][4]["policy"], "recycled S=4 K=16");
  EXPECT_LT(report["rows"][4]["bytes_per_token"], report["rows"][3]["bytes_per_token"]);
  EXPECT_GT(report["kernels"].size(), 10);
  EXPECT_GT(report["scoring_ratio"], 0.0);
  EXPECT_NE(read_all(chart).find("stream"), std::string::npos);
}

TEST(Bench, EveryPolicysOwnWorkIsPartOfItsSteps) {
  const auto report = json_of(tiny_bench({"--no-peer", "--parts", "policies", "--json"}));
  ASSERT_TRUE(report.is_object());
  EXPECT_TRUE(report["rows"].empty() && report["kernels"].empty());
  std::vector<std::string> names;
  for (const auto& each : report["policies"]) {
    names.push_back(each["policy"]);
    EXPECT_GE(each["choosing_ms"], 0.0);
    EXPECT_LE(each["choosing_ms"], each["ms_per_token"]);
    if (each["policy"] != "recycled") continue;
    EXPECT_TRUE(each["full"].is_object());
    EXPECT_GT(each["full"]["choosing_ms"], 0.0) << "a refresh chooses";
  }
  for (const char* name : {"full", "recycled", "oracle", "h2o", "quest", "tokenselect"}) {
    EXPECT_NE(std::find(names.begin(), names.end(), name), names.end()) << name;
  }
}

TEST(Bench, GlobalJsonPrintsAsEverywhere) {
  const auto report = json_of(with({REATTEND_PROGRAM, "--json"}, [] {
    auto rest = tiny_bench({"--no-peer", "--parts", "steps"});
    rest.erase(rest.begin());
    return rest;
  }()));
  EXPECT_TRUE(report.is_object() && report["rows"].size() == 3);
}

/// A program called llama-bench that answers as the real one does, and writes down how it was called.
std::filesystem::path fake_peer(const ScratchFolder& folder, const std::string& body) {
  std::filesystem::path program = folder / "llama-bench";
  std::ofstream(program) << "#!/bin/sh\necho \"$@\" >> '" << (folder / "calls").string() << "'\n" << body << "\n";
  std::filesystem::permissions(program, std::filesystem::perms::owner_all);
  return program;
}
constexpr const char* kAnswer =
    R"(echo '[{"n_prompt": 16, "n_gen": 0, "avg_ts": 4.0}, {"n_prompt": 0, "n_gen": 8, "avg_ts": 2.0}]')";

TEST(Bench, PeerTakesTurnsWithBothSettingsAndGivesRatios) {
  const ScratchFolder folder;
  const std::string peer = fake_peer(folder, kAnswer).string();
  const auto report = json_of(tiny_bench({"--parts", "steps", "--peer", peer, "--json"}));
  ASSERT_TRUE(report.is_object());
  for (const auto& row : report["rows"]) {
    const double theirs = row["work"] == "prefill" ? 4.0 : 2.0;
    EXPECT_EQ(row["peer_tok_per_s"], theirs);
    EXPECT_NEAR(row["ratio"].get<double>(), row["tok_per_s"].get<double>() / theirs, 1e-9);
  }
  const std::string calls = read_all(folder / "calls");
  EXPECT_NE(calls.find("-d 64"), std::string::npos) << calls;
  EXPECT_NE(calls.find("-fa on"), std::string::npos) << calls;
  EXPECT_NE(calls.find("-fa off"), std::string::npos) << calls;
}

TEST(Bench, PeerFindsTheLibrariesOfAWheelByTheirShortNames) {
  const ScratchFolder folder;
  std::ofstream(folder / "libggml.so.0.26.0") << "library";
  const std::string look = "cat \"${LD_LIBRARY_PATH#*:}/libggml.so.0\" > /dev/null || exit 1\n";
  const std::string peer = fake_peer(folder, look + kAnswer).string();
  const auto report = json_of(tiny_bench({"--parts", "steps", "--peer", peer, "--json"}));
  EXPECT_TRUE(report.is_object() && report["rows"][0]["peer_tok_per_s"] == 4.0);
}

TEST(Bench, PeerOnThePathIsFound) {
  const ScratchFolder folder;
  fake_peer(folder, kAnswer);
  const char* const before = std::getenv("PATH");
  const std::string path = before != nullptr ? before : "";
  setenv("PATH", ((folder / "").string() + ":" + path).c_str(), 1);
  const auto report = json_of(tiny_bench({"--parts", "steps", "--json"}));
  const auto without = json_of(tiny_bench({"--parts", "steps", "--json", "--no-peer"}));
  setenv("PATH", path.c_str(), 1);
  EXPECT_TRUE(report["peer"].is_string() && report["peer"].get<std::string>().ends_with("/llama-bench"));
  EXPECT_TRUE(without["peer"].is_null());
}

TEST(Bench, PeerThatFailsIsNamedWithItsLastWords) {
  const ScratchFolder folder;
  const std::string peer = fake_peer(folder, "echo 'cannot open shared object' >&2; exit 3").string();
  const ProgramResult result = run_program(tiny_bench({"--parts", "steps", "--peer", peer}));
  EXPECT_EQ(result.code, 1);
  EXPECT_NE(result.err.find("cannot open shared object"), std::string::npos) << result.err;
}

/// Bytes of the smollm2-135m shape in Q8_0, by hand: 34 bytes for 32 weights.
constexpr int64_t kLayers = 30, kWidth = 576, kFfn = 1536, kKv = 192, kVocab = 49152;
constexpr int64_t kWeights =
    (kLayers * kWidth * (2 * kWidth + 2 * kKv + 3 * kFfn) + kVocab * kWidth) / 32 * 34 + kWidth / 32 * 34;

TEST(Scale, CountedBytesAreThoseOfTheShape) {
  const auto report = json_of({REATTEND_PROGRAM, "bench", "--shape", "smollm2-135m", "--type", "Q8_0", "--context",
                               "300,1K", "--budget", "64", "--stride", "4", "--repeats", "1", "--json"});
  ASSERT_TRUE(report.is_object());
  ASSERT_EQ(report["rows"].size(), 6);
  for (const auto& row : report["rows"]) {
    const double context = row["depth"].get<double>();
    constexpr double kPosition = 2.0 * 2 * kLayers * kKv;  // f16 keys and values
    // Steps 5 to 8, behind a first rhythm, stand at context + 4 .. context + 7 and see themselves.
    double positions = context + 6.5;
    if (row["policy"] != "full") {
      const double kept = row["policy"] == "recycled S=4 K=64" ? 64 : std::floor(context / 8);
      positions = (3 * (kept + 1) + context + 8) / 4;  // and the current token
    }
    EXPECT_EQ(row["bytes_weights"], kWeights);
    EXPECT_NEAR(row["bytes_attend"].get<double>(), positions * kPosition, 1) << row["policy"] << " at " << context;
    const double bytes =
        row["bytes_weights"].get<double>() + row["bytes_attend"].get<double>() + row["bytes_select"].get<double>();
    EXPECT_NEAR(row["predicted_ms"].get<double>(), bytes / report["stream_gbps"].get<double>() / 1e6, 1e-6);
    EXPECT_EQ(row["work"], "decode");
  }
}

TEST(Scale, WhatDoesNotFitIsSkippedAndSaid) {
  const ScratchFolder folder;
  const std::string chart = (folder / "scale.svg").string();
  const ProgramResult result =
      run_program({REATTEND_PROGRAM, "bench", "--shape", "smollm2-135m", "--context", "256,512K", "--repeats", "1",
                   "--stride", "2", "--budget", "32", "--memory", "2", "--chart", chart});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_NE(result.out.find("skipped: context 524288"), std::string::npos) << result.out;
  EXPECT_NE(read_all(chart).find("recycled S=2 K=32"), std::string::npos);
  const ProgramResult none = run_program({REATTEND_PROGRAM, "bench", "--shape", "llama-3.1-8b", "--memory", "1"});
  EXPECT_EQ(none.code, 1);
  EXPECT_NE(none.err.find("1.0 GB"), std::string::npos) << none.err;
}

TEST(Scale, InterruptEndsCleanly) {
  const ScratchFolder folder;
  const std::string file = (folder / "scale.json").string();
  const ProgramResult result = run_program({REATTEND_PROGRAM, "bench", "--shape", "smollm2-135m", "--context", "256,4K",
                                            "--repeats", "1000", "--json", file},
                                           [](const pid_t child) {
                                             std::this_thread::sleep_for(std::chrono::seconds(3));
                                             kill(child, SIGINT);
                                           });
  EXPECT_EQ(result.code, 130) << result.err;
  EXPECT_NE(result.err.find("stopped"), std::string::npos) << result.err;
  EXPECT_EQ(nlohmann::json::parse(read_all(file), nullptr, false)["stopped"], true);
}

// Minutes of measuring would be lost.
TEST(Bench, AFolderThatIsMissingIsSaidBeforeAnythingIsMeasured) {
  const ScratchFolder folder;
  for (const auto& [option, name] : {std::pair("--json", "bench.json"), std::pair("--chart", "bench.svg")}) {
    const ProgramResult result =
        run_program({REATTEND_PROGRAM, "bench", "--no-peer", option, (folder / "nowhere" / name).string()});
    EXPECT_EQ(result.code, 1);
    EXPECT_NE(result.err.find("nowhere"), std::string::npos) << result.err;
    EXPECT_TRUE(result.out.empty()) << result.out;
  }
}

TEST(Bench, WrongUseIsOneLineThatNamesTheOption) {
  const ScratchFolder folder;
  std::ofstream(folder / "taken.json") << "precious";
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"--depths", "9K"}, "--depths"},
      {{"--depths", "x"}, "--depths"},
      {{"--repeats", "0"}, "--repeats"},
      {{"--budget", "-1"}, "--budget"},
      {{"--parts", "kernels,everything"}, "everything"},
      {{"--peer", "/nowhere/llama-bench"}, "/nowhere/llama-bench"},
      {{"--json", (folder / "taken.json").string()}, "taken.json"},
      {{"--chart", "picture.jpg"}, ".svg"},
      {{"--peer", "README.md", "--no-peer"}, "--no-peer"},
      {{"--shape", "gpt-5"}, "smollm2-135m"},
      {{"--shape", "smollm2-135m", "--type", "F32"}, "Q8_0"},
      {{"--shape", "smollm2-135m", "--context", "0"}, "--context"},
      {{"--shape", "smollm2-135m", "--depths", "0"}, "--depths"},
      {{"--type", "Q8_0"}, "--shape"},
  };
  for (const auto& [more, culprit] : cases) {
    const ProgramResult result =
        run_program(with({REATTEND_PROGRAM, "bench", "--model", "tests/golden/models/tiny_llama.gguf"}, more));
    EXPECT_EQ(result.code, 2) << culprit;
    EXPECT_NE(result.err.find(culprit), std::string::npos) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }
  EXPECT_EQ(read_all(folder / "taken.json"), "precious");
}

}  // namespace
}  // namespace reattend::test
