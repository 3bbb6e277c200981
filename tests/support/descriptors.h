// Runs a program with one of its three standard descriptors out of order, in every way that users bring about.
#pragma once
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/program.h"

namespace reattend::test {

enum class Broken { closed, full, wrong_way };  ///< wrong_way: open for reading what is to be written, or the reverse

inline ProgramResult run_broken(const std::vector<std::string>& arguments, int fd, Broken how) {
  return run_program(arguments, {}, [fd, how](posix_spawn_file_actions_t& actions) {
    const int wrong = fd == STDIN_FILENO ? O_WRONLY : O_RDONLY;
    if (how == Broken::closed) posix_spawn_file_actions_addclose(&actions, fd);
    if (how == Broken::full) posix_spawn_file_actions_addopen(&actions, fd, "/dev/full", O_RDWR, 0);
    if (how == Broken::wrong_way) posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", wrong, 0);
  });
}

/// What a user loses is said, by exit code 1 and on standard error; what nobody could lose changes nothing, and nothing
/// ends by a signal. `arguments` must be a command that can be given again and again.
inline void expect_descriptors_respected(const std::vector<std::string>& arguments) {
  const ProgramResult usual = run_program(arguments);
  for (const Broken how : {Broken::closed, Broken::full, Broken::wrong_way}) {
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
      const ProgramResult result = run_broken(arguments, fd, how);
      std::string line = "descriptor " + std::to_string(fd) + ", way " + std::to_string(static_cast<int>(how)) + ":";
      for (const std::string& argument : arguments) line += " " + argument;
      const bool lost = fd == STDOUT_FILENO && !usual.out.empty();
      EXPECT_EQ(result.code, lost && usual.code == 0 ? 1 : usual.code) << line << "\n" << result.err;
      if (lost && usual.code == 0) {
        EXPECT_NE(result.err.find("standard output: expected room to write, got "), std::string::npos) << line << "\n"
                                                                                                       << result.err;
      }
      if (fd != STDOUT_FILENO) {
        EXPECT_EQ(result.out.empty(), usual.out.empty()) << line;
      }
      if (fd == STDIN_FILENO) {
        EXPECT_EQ(result.err.empty(), usual.err.empty()) << line << "\n" << result.err;
      }
    }
  }
}

}  // namespace reattend::test
