// Runs a program of this project as a user does: arguments in, exit code and both outputs back.
#pragma once
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/support/scratch_folder.h"

extern char** environ;

namespace reattend::test {

struct ProgramResult {
  int code = 0;  ///< exit code, or 128 + signal
  std::string out, err;
};

inline std::string read_all(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// Starts argv[0] with its outputs in files, and with what `redirect` makes of that; calls `meanwhile(pid)`, waits.
inline ProgramResult run_program(std::vector<std::string> arguments, const std::function<void(pid_t)>& meanwhile = {},
                                 const std::function<void(posix_spawn_file_actions_t&)>& redirect = {}) {
  const ScratchFolder folder;
  const std::string out = (folder / "out").string(), err = (folder / "err").string();
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (redirect) redirect(actions);
  pid_t child = 0;
  const int failed = posix_spawnp(&child, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) throw std::runtime_error("can't start " + arguments[0]);
  if (meanwhile) meanwhile(child);
  int status = 0;
  if (waitpid(child, &status, 0) != child) throw std::runtime_error("lost " + arguments[0]);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read_all(out), read_all(err)};
}

}  // namespace reattend::test
