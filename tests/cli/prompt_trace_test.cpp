// A trace's prompt for other commands: the same tokens again, and what follows them where a text is followed.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tests/support/program.h"

namespace reattend::test {
namespace {

using nlohmann::json;
using Arguments = std::vector<std::string>;

constexpr const char* kModel = "tests/golden/models/tiny_llama.gguf";

class PromptTrace : public testing::Test {
 protected:
  PromptTrace() {
    const ProgramResult made =
        call({"record", "--model", kModel, "--raw", "--prompt-file", "assets/prose.txt", "--context", "40", "--steps",
              "12", "--ignore-end", "--no-calibration", "--json", "--out", trace});
    EXPECT_EQ(made.code, 0) << made.err;
    recorded = json::parse(made.out, nullptr, false);
  }
  static ProgramResult call(Arguments arguments) {
    arguments.insert(arguments.begin(), REATTEND_PROGRAM);
    return run_program(arguments);
  }
  static json ask(Arguments arguments) {
    arguments.emplace_back("--json");
    const ProgramResult result = call(arguments);
    EXPECT_EQ(result.code, 0) << result.err;
    return json::parse(result.out, nullptr, false);
  }
  static void expect_refused(const Arguments& arguments, int code, const std::string& culprit) {
    const ProgramResult result = call(arguments);
    EXPECT_EQ(result.code, code) << result.err;
    EXPECT_NE(result.err.find(culprit), std::string::npos) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }

  const ScratchFolder folder;
  const std::string trace = (folder / "trace.h5").string();
  json recorded;
};

TEST_F(PromptTrace, IsContinuedAsItWasRecorded) {
  const json run =
      ask({"run", "--model", kModel, "--prompt-trace", trace, "--prefill", "f32", "--steps", "12", "--ignore-end"});
  EXPECT_EQ(run["n_prompt"], 40);
  EXPECT_EQ(run["text"], recorded["text"]);
  EXPECT_EQ(run["logits_hash"], recorded["logits_hash"]);
}

TEST_F(PromptTrace, TokensOfATextAreToldWithTheirEnds) {
  const json run = ask({"run", "--model", kModel, "--prompt-trace", trace, "--steps", "9", "--ignore-end"});
  const auto ends = run["token_ends"].get<std::vector<size_t>>();
  EXPECT_EQ(run["tokens"].size(), 9U);
  ASSERT_EQ(ends.size(), 9U);
  EXPECT_TRUE(std::is_sorted(ends.begin(), ends.end()));
  EXPECT_EQ(ends.back(), run["text"].get<std::string>().size());
}

TEST_F(PromptTrace, CompareFollowsTheRecordedTokens) {
  const json compared = ask({"compare", "--model", kModel, "--prompt-trace", trace, "--prefill", "f32", "--steps", "12",
                             "--policies", "recycled:S=4:K=8", "--repeats", "0"});
  const json verified = ask(
      {"verify", trace, "--model", kModel, "--policy", "recycled", "--stride", "4", "--budget", "8", "--repeats", "0"});
  EXPECT_NEAR(compared["policies"][1]["kl"].get<double>(), verified["kl"].get<double>(), 1e-9);
  EXPECT_EQ(compared["fingerprint"], verified["verified"]["trace"]);
  expect_refused({"compare", "--model", kModel, "--prompt-trace", trace, "--steps", "13", "--policies", "h2o"}, 1,
                 "--prompt-trace " + trace);
  expect_refused(
      {"compare", "--model", kModel, "--prompt-trace", trace, "--steps", "3", "--continuation", "assets/prose.txt"}, 2,
      "--continuation");
}

TEST_F(PromptTrace, WhatDoesNotGoWithItIsRefused) {
  const Arguments run = {"run", "--model", kModel, "--prompt-trace", trace};
  for (const auto& [more, culprit] : {std::pair<Arguments, std::string>{{"--prompt", "x"}, "--prompt"},
                                      {{"--context", "3"}, "--context"},
                                      {{"--skip-chars", "3"}, "--skip-chars"},
                                      {{"--system", "x"}, "--system"},
                                      {{"--parse-special"}, "--parse-special"}}) {
    Arguments all = run;
    all.insert(all.end(), more.begin(), more.end());
    expect_refused(all, 2, culprit);
  }
  expect_refused({"run", "--model", "tests/golden/models/tiny_qwen2.gguf", "--prompt-trace", trace}, 1,
                 "one of another file");
  expect_refused({"run", "--model", kModel, "--prompt-trace", "assets/prose.txt"}, 1, "assets/prose.txt");
}

}  // namespace
}  // namespace reattend::test
