// Programs whose output is read while they run: their lines, their end in words, and that nothing of them stays.
#include <gtest/gtest.h>

#include <fcntl.h>
#include <unistd.h>
#include <fstream>
#include <thread>

#include "base/error.h"
#include "base/piped_program.h"
#include "base/subprocess.h"
#include "base/temporary_folder.h"

namespace reattend {
namespace {

namespace fs = std::filesystem;

struct Seen {
  std::vector<std::string> lines;
  PipedEnd end;
};

/// A shell that runs `script`.
Seen run(const std::string& script, const Cancel& cancel = {}, size_t most = 1 << 20,
         const std::function<void(const std::string&)>& on_line = {}) {
  Seen out;
  out.end = run_piped({.arguments = {find_program("sh").value().string(), "-c", script},
                       .most_output = most,
                       .grace = std::chrono::milliseconds(100),
                       .on_line =
                           [&](std::string_view line) {
                             out.lines.emplace_back(line);
                             if (on_line) on_line(out.lines.back());
                           }},
                      cancel);
  return out;
}

/// One that has ended but was not waited for by whoever inherited it is gone for us.
bool is_there(pid_t process) {
  std::ifstream stat(fs::path("/proc") / std::to_string(process) / "stat");
  std::string number, name, state;
  return stat >> number >> name >> state && state != "Z";
}

/// Ended processes whose parent was another may take a moment to be gone.
void expect_gone(pid_t process) {
  for (int i = 0; i < 2000 && is_there(process); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_FALSE(is_there(process)) << process;
}

TEST(PipedProgram, OutputAndLinesAreToldApart) {
  const Seen seen = run("echo out; echo one >&2; printf 'two\\n\\nthree' >&2; exit 0");
  EXPECT_TRUE(seen.end.well());
  EXPECT_EQ(seen.end.output, "out\n");
  EXPECT_EQ(seen.lines, (std::vector<std::string>{"one", "two", "", "three"}));
  EXPECT_EQ(in_words(seen.end), "done");
}

TEST(PipedProgram, EndsAreSaidInWords) {
  EXPECT_EQ(in_words(run("exit 2").end), "exit code 2: wrong use");
  EXPECT_EQ(in_words(run("exit 1").end), "exit code 1: failed");
  EXPECT_EQ(in_words(run("exit 77").end), "exit code 77");
  EXPECT_EQ(in_words(run("kill -9 $$").end), "killed by signal 9 (Killed)");
}

TEST(PipedProgram, WhatCannotBeStartedIsNamed) {
  try {
    run_piped({.arguments = {"/no/such/program"}}, {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("/no/such/program: expected a program that can be started"),
              std::string::npos)
        << error.what();
  }
}

TEST(PipedProgram, EndlessOutputIsCutAndItsProgramEnded) {
  const Seen seen = run("while :; do echo endless; done", {}, 100'000);
  EXPECT_TRUE(seen.end.overflowed);
  EXPECT_EQ(seen.end.output.size(), 100'000U);
  EXPECT_FALSE(seen.end.well());
}

TEST(PipedProgram, ALineWithoutAnEndIsCut) {
  const Seen seen = run("head -c 100000 /dev/zero | tr '\\0' x >&2; echo >&2; echo next >&2");
  ASSERT_EQ(seen.lines.size(), 2U);
  EXPECT_EQ(seen.lines[0], std::string(kMostLine, 'x'));
  EXPECT_EQ(seen.lines[1], "next");
}

/// What runs in the background of the shell must not outlive it either.
TEST(PipedProgram, AStoppedOneGoesWithAllThatItStarted) {
  for (const std::string trap : {"", "trap '' INT;", "trap '' INT TERM;"}) {
    SCOPED_TRACE(trap);
    const Cancel cancel;
    std::vector<pid_t> processes;
    const Seen seen = run(trap + " sleep 1000 & echo $! >&2; echo $$ >&2; while :; do sleep 1; done", cancel, 1000,
                          [&](const std::string& line) {
                            processes.push_back(std::stoi(line));
                            if (processes.size() == 2) cancel.raise();
                          });
    EXPECT_TRUE(seen.end.stopped);
    EXPECT_EQ(in_words(seen.end), "stopped");
    ASSERT_EQ(processes.size(), 2U);
    for (const pid_t each : processes) expect_gone(each);
  }
}

TEST(PipedProgram, OneThatClosesItsOutputsIsStillWaitedFor) {
  const Seen seen = run("exec >&- 2>&-; sleep 0.1; exit 3");
  EXPECT_EQ(seen.end.code, 3);
}

TEST(PipedProgram, NoDescriptorOfOursIsItsOwn) {
  const TemporaryFolder folder;
  const int open = ::open((folder.path() / "file").c_str(), O_CREAT | O_WRONLY, 0600);  // not closed on exec
  ASSERT_GE(open, 3);
  const Seen seen = run("ls /proc/self/fd | wc -l");
  ::close(open);
  EXPECT_LE(std::stoi(seen.end.output), 5) << "0 to 2, the folder that ls reads, a pipe of the shell's";
}

TEST(Words, OfACommandLineComeBackAsTheyWere) {
  const std::vector<std::string> words = {"verify", "a b", "it's", "", "\"", "x\\y", "[1, 2]", "--K=L/8", "$HOME"};
  std::string line;
  for (const std::string& each : words) line += shell_word(each) + "  ";
  EXPECT_EQ(split_words(line), words);
  EXPECT_EQ(split_words("a\\ b \"c 'd'\" 'e\\f'"), (std::vector<std::string>{"a b", "c 'd'", "e\\f"}));
  EXPECT_EQ(split_words(" \t\n"), std::vector<std::string>());
  EXPECT_THROW(split_words("a 'b"), Error);
}

}  // namespace
}  // namespace reattend
