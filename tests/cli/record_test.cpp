// What happens to a recording when paths, disks and people get in its way: nothing finished is lost, nothing
// overwritten.
#include <sys/resource.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/support/program.h"

namespace reattend::test {
namespace {

/// kMany steps take a minute or so: whatever is to interrupt them does.
constexpr int kMany = 300'000;

std::vector<std::string> tiny_record(const std::string& out, const int steps) {
  std::vector<std::string> arguments = {REATTEND_PROGRAM,
                                        "record",
                                        "--model",
                                        "tests/golden/models/tiny_llama.gguf",
                                        "--raw",
                                        "--prompt",
                                        "the clock",
                                        "--no-calibration",
                                        "--ignore-end",
                                        "--steps",
                                        std::to_string(steps),
                                        "--out",
                                        out};
  if (steps == kMany) arguments.insert(arguments.end(), {"--ctx", "400000"});
  return arguments;
}

std::vector<std::string> with(std::vector<std::string> arguments, const std::string& more) {
  arguments.push_back(more);
  return arguments;
}

/// Decode steps that a replay finds in the trace; -1 where it can't be read.
int64_t replayed_steps(const std::string& trace) {
  const ProgramResult result = run_program({REATTEND_PROGRAM, "info", trace, "--json"});
  EXPECT_EQ(result.code, 0) << result.err;
  const auto facts = nlohmann::json::parse(result.out, nullptr, false);
  return facts.is_object() && facts.contains("decode steps") ? facts["decode steps"].get<int64_t>() : -1;
}

void expect_one_line(const ProgramResult& result, const std::string& culprit) {
  const size_t begin = result.err.find("reattend: ");
  ASSERT_NE(begin, std::string::npos) << result.err;
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  EXPECT_NE(result.err.find(culprit), std::string::npos) << result.err;
}

TEST(Record, ExistingFileIsOnlyReplacedWhenForced) {
  const ScratchFolder folder;
  const std::string trace = (folder / "trace.h5").string();
  std::ofstream(trace) << "precious";
  const ProgramResult refused = run_program(tiny_record(trace, 5));
  EXPECT_NE(refused.code, 0);
  expect_one_line(refused, "--force");
  EXPECT_EQ(read_all(trace), "precious");
  const ProgramResult forced = run_program(with(tiny_record(trace, 5), "--force"));
  EXPECT_EQ(forced.code, 0) << forced.err;
  EXPECT_EQ(replayed_steps(trace), 5);
}

TEST(Record, PathThatCannotBeWrittenIsNamed) {
  const ScratchFolder folder;
  const std::string trace = (folder / "nowhere/trace.h5").string();
  const ProgramResult result = run_program(tiny_record(trace, 5));
  EXPECT_EQ(result.code, 1);
  expect_one_line(result, trace);
}

TEST(Record, InterruptLeavesTheFinishedSteps) {
  const ScratchFolder folder;
  const std::string trace = (folder / "trace.h5").string();
  const ProgramResult result = run_program(tiny_record(trace, kMany), [](const pid_t child) {
    std::this_thread::sleep_for(std::chrono::seconds(2));
    kill(child, SIGINT);
  });
  EXPECT_EQ(result.code, 130) << result.err;
  EXPECT_GT(replayed_steps(trace), 0);
}

TEST(Record, KillLeavesTheFinishedStepsToReadAtOnce) {
  const ScratchFolder folder;
  const std::string trace = (folder / "trace.h5").string();
  const ProgramResult result = run_program(tiny_record(trace, kMany), [](const pid_t child) {
    std::this_thread::sleep_for(std::chrono::seconds(2));
    kill(child, SIGKILL);
  });
  EXPECT_EQ(result.code, 128 + SIGKILL);
  EXPECT_GT(replayed_steps(trace), 0);
  const ProgramResult replay =
      run_program({REATTEND_PROGRAM, "replay", trace, "--policy", "recycled", "--budget", "8", "--stride", "4"});
  EXPECT_EQ(replay.code, 0) << replay.err;
}

TEST(Record, FullDiskIsOneLineAndKeepsTheFinishedSteps) {
  const ScratchFolder folder;
  const std::string trace = (folder / "trace.h5").string();
  // The limit is this process's own for a moment, so that the child inherits it; SIGXFSZ would kill before write fails.
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small = {.rlim_cur = 6U << 20, .rlim_max = before.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const ProgramResult result = run_program(tiny_record(trace, 2000));
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(result.code, 1) << result.err;
  expect_one_line(result, trace);
  EXPECT_GT(replayed_steps(trace), 0);
}

TEST(Traces, WhatIsNoTraceIsNamedByEveryReader) {
  const ScratchFolder folder;
  const std::string trace = (folder / "trace.h5").string();
  ASSERT_EQ(run_program(tiny_record(trace, 5)).code, 0);
  const std::string whole = read_all(trace);
  for (const std::string& bytes :
       {std::string("nothing of the kind"), whole.substr(0, 40), whole.substr(0, whole.size() / 2)}) {
    std::ofstream(trace, std::ios::binary) << bytes;
    for (const char* command : {"replay", "tune"}) {
      const ProgramResult result = run_program({REATTEND_PROGRAM, command, trace});
      EXPECT_EQ(result.code, 1) << command << " " << bytes.size();
      expect_one_line(result, trace);
    }
  }
  for (const char* command : {"replay", "tune"}) {
    const ProgramResult result = run_program({REATTEND_PROGRAM, command, "/nowhere/trace.h5"});
    EXPECT_EQ(result.code, 1);
    expect_one_line(result, "/nowhere/trace.h5");
  }
}

}  // namespace
}  // namespace reattend::test
