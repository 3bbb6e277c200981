// Starts programs by posix_spawn with redirections; waits by polling, so that a cancellation ends the child.
#include "base/subprocess.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <algorithm>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <thread>

#include "base/error.h"

namespace reattend {
namespace {

/// This process's environment with the child's settings on top.
std::vector<std::string> environment_of(const Subprocess& program) {
  std::vector<std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    bool replaced = false;
    for (const auto& [name, value] : program.environment) replaced = replaced || text.starts_with(name + "=");
    if (!replaced) all.push_back(text);
  }
  for (const auto& [name, value] : program.environment) {
    std::string entry = name;
    entry += '=';
    entry += value;
    all.push_back(std::move(entry));
  }
  return all;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

}  // namespace

int run_program(const Subprocess& program, const Cancel& cancel) {
  std::vector<std::string> arguments = program.arguments, environment = environment_of(program);
  const std::vector<char*> argv = pointers(arguments), envp = pointers(environment);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  constexpr int kCreate = O_WRONLY | O_CREAT | O_TRUNC;
  constexpr mode_t kMode = 0644;
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  if (!program.out.empty())
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, program.out.c_str(), kCreate, kMode);
  if (!program.errors.empty() && program.errors == program.out) {
    posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
  } else if (!program.errors.empty()) {
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, program.errors.c_str(), kCreate, kMode);
  }
  // What this process ignores (prepare_standard_streams()) shall end other programs as they are used to.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t usual;
  sigemptyset(&usual);
  sigaddset(&usual, SIGPIPE), sigaddset(&usual, SIGXFSZ);
  posix_spawnattr_setsigdefault(&attributes, &usual);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
  pid_t child = 0;
  const int failed = posix_spawnp(&child, argv[0], &actions, &attributes, argv.data(), envp.data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) {
    fail({.where = program.arguments[0],
          .expected = "a program that can be started",
          .got = std::strerror(failed),
          .remedy = program.remedy});
  }
  int status = 0;
  for (bool told = false;;) {
    const pid_t ended = waitpid(child, &status, WNOHANG);
    if (ended == child) break;
    if (ended < 0 && errno != EINTR)
      fail({.where = program.arguments[0], .expected = "its exit status", .got = std::strerror(errno)});
    if (cancel.raised() && !told) told = kill(child, SIGTERM) == 0;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::optional<std::filesystem::path> find_program(const std::string& name) {
  const char* const path = std::getenv("PATH");
  const std::string folders = path != nullptr ? path : "";
  for (size_t begin = 0; begin < folders.size();) {
    const size_t end = std::min(folders.find(':', begin), folders.size());
    const std::filesystem::path program = std::filesystem::path(folders.substr(begin, end - begin)) / name;
    std::error_code ignored;
    if (std::filesystem::is_regular_file(program, ignored) && ::access(program.c_str(), X_OK) == 0) return program;
    begin = end + 1;
  }
  return std::nullopt;
}

std::string last_line(const std::filesystem::path& log) {
  std::ifstream file(log);
  std::string line, last;
  while (std::getline(file, line)) last = line.empty() ? last : line;
  return last;
}

std::string shell_word(const std::string& argument) {
  constexpr std::string_view kPlain = "-_./:=,+@%^";
  const bool is_plain = std::all_of(argument.begin(), argument.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || kPlain.find(c) != kPlain.npos;
  });
  if (is_plain && !argument.empty()) return argument;
  std::string out = "'";
  for (const char c : argument) out += c == '\'' ? "'\\''" : std::string(1, c);
  return out + "'";
}

std::vector<std::string> split_words(std::string_view line) {
  std::vector<std::string> out;
  bool within = false;  // a word, which may be empty
  char quote = 0;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    const bool blank = quote == 0 && (c == ' ' || c == '\t' || c == '\n');
    if (blank) {
      within = false;
      continue;
    }
    if (!within) out.emplace_back(), within = true;
    if (quote != 0 ? c == quote : (c == '\'' || c == '"')) {
      quote = quote != 0 ? '\0' : c;
    } else if (c == '\\' && quote != '\'' && i + 1 < line.size()) {
      out.back() += line[++i];
    } else {
      out.back() += c;
    }
  }
  if (quote != 0)
    fail_usage({"command line", std::string("an end of the quote ") + quote, std::string(line), "close it"});
  return out;
}

}  // namespace reattend
