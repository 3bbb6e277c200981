// What `reattend run` promises: the same text and hash whatever the threads, numbers that programs can read, a clean
// stop.
#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/support/program.h"

namespace reattend::test {
namespace {

ProgramResult tiny_run(std::vector<std::string> more) {
  std::vector<std::string> arguments = {
      REATTEND_PROGRAM, "run", "--model", "tests/golden/models/tiny_llama.gguf", "--raw", "--ignore-end"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return run_program(arguments);
}

nlohmann::json report(std::vector<std::string> more) {
  more.insert(more.end(), {"--json", "--steps", "24", "--prompt", "the clock in the window"});
  const ProgramResult result = tiny_run(more);
  EXPECT_EQ(result.code, 0) << result.err;
  return nlohmann::json::parse(result.out, nullptr, false);
}

TEST(Run, HashAndTextDoNotDependOnThreads) {
  const auto one = report({"--threads", "1", "--policy", "recycled", "--budget", "8", "--stride", "4"});
  const auto three = report({"--threads", "3", "--policy", "recycled", "--budget", "8", "--stride", "4"});
  ASSERT_TRUE(one.is_object() && three.is_object());
  EXPECT_EQ(one["logits_hash"], three["logits_hash"]);
  EXPECT_EQ(one["text"], three["text"]);
  EXPECT_EQ(one["n_step"], 24);
}

TEST(Run, ShareOfFullStepsFollowsTheStride) {
  const auto full = report({"--policy", "full"});
  const auto recycled = report({"--policy", "recycled", "--budget", "8", "--stride", "4"});
  EXPECT_EQ(full["full_share"], 1.0);
  EXPECT_EQ(recycled["full_share"], 0.25);
  EXPECT_EQ(recycled["recycled"], 0.75) << "the name of the version before";
  EXPECT_NE(full["logits_hash"], recycled["logits_hash"]);
  EXPECT_LT(recycled["positions"], full["positions"]);
  EXPECT_LT(recycled["bytes_attend"], full["bytes_attend"]);
}

TEST(Run, ShadowCountsThePolicyButKeepsFullAttentionsText) {
  const auto full = report({"--policy", "full"});
  const auto shadow = report({"--policy", "recycled", "--budget", "8", "--stride", "4", "--shadow"});
  EXPECT_EQ(shadow["logits_hash"], full["logits_hash"]);
  EXPECT_EQ(shadow["full_share"], 0.25);
}

TEST(Run, SeedDecidesTheSample) {
  const auto a = report({"--temperature", "2", "--seed", "1"}), b = report({"--temperature", "2", "--seed", "1"});
  const auto c = report({"--temperature", "2", "--seed", "2"});
  EXPECT_EQ(a["text"], b["text"]);
  EXPECT_NE(a["text"], c["text"]);
}

TEST(Run, TextGoesToStdoutAndNumbersToStderr) {
  const ProgramResult result = tiny_run({"--steps", "5", "--prompt", "the clock"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_NE(result.err.find("ms/token"), std::string::npos);
  EXPECT_EQ(result.out.find("ms/token"), std::string::npos);
  EXPECT_FALSE(result.out.empty());
}

TEST(Run, InterruptEndsWithTheNumbersSoFarAndExitCode130) {
  const std::vector<std::string> arguments = {
      REATTEND_PROGRAM, "run",          "--model",  "tests/golden/models/tiny_llama.gguf",
      "--raw",          "--ignore-end", "--prompt", "the clock",
      "--ctx",          "400000",       "--steps",  "300000",
      "--json"};
  const ProgramResult result = run_program(arguments, [](const pid_t child) {
    std::this_thread::sleep_for(std::chrono::milliseconds(700));
    kill(child, SIGINT);
  });
  EXPECT_EQ(result.code, 130) << result.err;
  EXPECT_NE(result.err.find("stopped"), std::string::npos) << result.err;
}

TEST(Info, TellsWhatAModelIs) {
  const ProgramResult result = run_program({REATTEND_PROGRAM, "info", "tests/golden/models/tiny_llama.gguf", "--json"});
  ASSERT_EQ(result.code, 0) << result.err;
  const auto facts = nlohmann::json::parse(result.out, nullptr, false);
  ASSERT_TRUE(facts.is_object()) << result.out;
  EXPECT_EQ(facts["architecture"], "llama");
  EXPECT_EQ(facts["layers"], 3);
  EXPECT_EQ(facts["query heads"], 8);
  EXPECT_EQ(facts["KV heads"], 2);
}

TEST(Help, EveryCommandShowsAnExample) {
  const ProgramResult help = run_program({REATTEND_PROGRAM, "--help"});
  ASSERT_EQ(help.code, 0);
  EXPECT_NE(help.out.find("Examples:"), std::string::npos);
  for (const char* command : {"run", "info", "get-model"}) {
    EXPECT_NE(help.out.find(command), std::string::npos) << command;
    const ProgramResult own = run_program({REATTEND_PROGRAM, command, "--help"});
    EXPECT_EQ(own.code, 0);
    EXPECT_NE(own.out.find("Example"), std::string::npos) << command;
  }
}

}  // namespace
}  // namespace reattend::test
