// Standard descriptors that are closed, full or the wrong way round: no text is lost in silence, no file is damaged,
// and what can't be said on standard error ends nothing.
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>

#include "tests/support/descriptors.h"

namespace reattend::test {
namespace {

const std::string kTiny = "tests/golden/models/tiny_llama.gguf", kTrace = "tests/golden/traces/recycled_1_0.h5";

using Words = std::vector<std::string>;

/// A command of the program; "@" stands for a folder of the test's own.
struct Command {
  std::string name;
  Words arguments;
};

Words program(Words arguments, const ScratchFolder& folder) {
  for (std::string& each : arguments) {
    if (each.starts_with("@")) each = (folder / each.substr(1)).string();
  }
  arguments.insert(arguments.begin(), REATTEND_PROGRAM);
  return arguments;
}

/// Arguments of a command that runs the tiny model.
Words tiny(const std::string& command, const Words& more) {
  Words out = {command, "--model", kTiny, "--raw", "--prompt", "the clock in the window", "--steps", "4"};
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

class Descriptors : public testing::TestWithParam<Command> {};

TEST_P(Descriptors, AreRespected) {
  const ScratchFolder folder;
  setenv("XDG_CACHE_HOME", "/dev/null/none", 1);  // nothing is downloaded
  const std::string one = (folder / "case.json").string();
  std::ofstream(one) << R"({"model": ")" << std::filesystem::absolute(kTiny).string()
                     << R"(", "policy": {"name": "full"}, "prompt": [1, 2, 3], "continuation": [4, 5, 6]})";
  expect_descriptors_respected(program(GetParam().arguments, folder));
}

INSTANTIATE_TEST_SUITE_P(Talk, Descriptors,
                         testing::Values(Command{"help", {"--help"}}, Command{"version", {"--version"}},
                                         Command{"none", {}}, Command{"unknown", {"sing"}},
                                         Command{"help_of_run", {"run", "--help"}},
                                         Command{"wrong_option", {"trace", "info", "--loudly"}},
                                         Command{"missing_file", {"replay", "nowhere.h5"}}),
                         [](const auto& of) { return of.param.name; });
INSTANTIATE_TEST_SUITE_P(
    Trace, Descriptors,
    testing::Values(Command{"info", {"trace", "info", kTrace}},
                    Command{"check", {"trace", "check", kTrace, "--progress", "json"}},
                    Command{"repair", {"trace", "repair", kTrace, "--out", "@copy.h5", "--force"}},
                    Command{"slice", {"trace", "slice", kTrace, "--steps", "1:2", "--out", "@part.h5", "--force"}},
                    Command{"merge", {"trace", "merge", kTrace, "nowhere.h5", "--out", "@whole.h5", "--force"}},
                    Command{"export_csv", {"trace", "export", kTrace, "--format", "csv", "--out", "@t.csv", "--force"}},
                    Command{"export_json",
                            {"trace", "export", kTrace, "--format", "json", "--out", "@t.json", "--force", "--json"}}),
    [](const auto& of) { return of.param.name; });
INSTANTIATE_TEST_SUITE_P(
    Work, Descriptors,
    testing::Values(
        Command{"run", tiny("run", {"--ignore-end"})}, Command{"policies", {"run", "--list-policies"}},
        Command{"record", tiny("record", {"--ignore-end", "--no-calibration", "--progress", "json", "--out", "@t.h5",
                                          "--force"})},
        Command{"replay", {"replay", kTrace, "--budget", "4", "--progress", "json"}},
        Command{"replay_json", {"replay", kTrace, "--budget", "4", "--json"}},
        Command{"analyse", {"analyse", kTrace, "--csv", "@tables", "--force", "--progress", "json"}},
        Command{
            "tune",
            {"tune", kTrace, "--budgets", "4", "--strides", "4", "--schedules", "0", "--out", "@s.toml", "--force"}},
        Command{"compare", tiny("compare", {"--policies", "streaming:K=4", "--repeats", "0", "--progress", "json"})},
        Command{"study",
                {"study", kTrace, "--model", kTiny, "--policies", "streaming:K=4,tova:K=4", "--repeats", "0", "--out",
                 "@study"}},
        Command{"verify", {"verify", kTrace, "--model", kTiny, "--policy", "streaming", "--budget", "4"}},
        Command{"gpus", {"calibrate", "--list"}}, Command{"case", {"case", "@case.json", "--out", "@c.h5", "--force"}},
        Command{"bench", {"bench", "replay", kTrace, "--repeats", "1"}},
        Command{"demo", {"demo", "--text", "assets/prose.txt", "--model", kTiny, "--out", "@demo"}},
        Command{"get_model", {"get-model", "--progress", "json"}}, Command{"info_of_trace", {"info", kTrace}},
        Command{"info_of_model", {"info", kTiny, "--json"}}),
    [](const auto& of) { return of.param.name; });

/// The trace took the number of the closed descriptor, and lines of progress the place of its superblock.
TEST(Descriptors, ATraceHoldsNothingButItself) {
  const ScratchFolder folder;
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    const std::string trace = (folder / (std::to_string(fd) + ".h5")).string();
    run_broken(
        program(tiny("record", {"--ignore-end", "--no-calibration", "--progress", "json", "--out", trace}), folder), fd,
        Broken::closed);
    const ProgramResult check = run_program({REATTEND_PROGRAM, "trace", "check", trace});
    EXPECT_EQ(check.code, 0) << "descriptor " << fd << ": " << check.out << check.err;
  }
  const std::string trace = (folder / "none.h5").string();
  const ProgramResult alone = run_program(
      program(tiny("record", {"--ignore-end", "--no-calibration", "--progress", "json", "--out", trace}), folder), {},
      [](posix_spawn_file_actions_t& actions) {
        for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
          posix_spawn_file_actions_addclose(&actions, fd);
      });
  EXPECT_EQ(alone.code, 1) << "the text was lost";
  EXPECT_EQ(run_program({REATTEND_PROGRAM, "trace", "check", trace}).code, 0);
}

/// `reattend ... | head`: the end of a pipe is no error, and that of standard error must not stop a recording.
TEST(Descriptors, AReaderThatLeavesEndsTheTextAndNoRecording) {
  const ScratchFolder folder;
  const std::string trace = (folder / "t.h5").string();
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  close(ends[0]);
  const auto into_pipe = [&](int fd) {
    return
        [&ends, fd](posix_spawn_file_actions_t& actions) { posix_spawn_file_actions_adddup2(&actions, ends[1], fd); };
  };
  const ProgramResult text = run_program({REATTEND_PROGRAM, "trace", "info", kTrace}, {}, into_pipe(STDOUT_FILENO));
  EXPECT_EQ(text.code, 128 + SIGPIPE);
  EXPECT_EQ(text.err, "");
  const ProgramResult progress = run_program(
      program(tiny("record", {"--ignore-end", "--no-calibration", "--progress", "json", "--out", trace}), folder), {},
      into_pipe(STDERR_FILENO));
  close(ends[1]);
  EXPECT_EQ(progress.code, 0);
  EXPECT_EQ(run_program({REATTEND_PROGRAM, "trace", "check", trace}).code, 0);
}

}  // namespace
}  // namespace reattend::test
