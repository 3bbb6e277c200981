// Runs another program without a shell.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/progress.h"

namespace reattend {

struct Subprocess {
  std::vector<std::string> arguments;                              ///< program (looked up on PATH) and its arguments
  std::vector<std::pair<std::string, std::string>> environment{};  ///< set or replaced for the child
  std::filesystem::path out;  ///< file that gets its standard output; empty: inherited
  std::filesystem::path
      errors;          ///< file that gets its standard error; the same as `out` merges the two; empty: inherited
  std::string remedy;  ///< for the message when it cannot be started
};

/// Its exit status (128 + signal if one ended it). A raised `cancel` ends it. Throws Error when it cannot be started.
int run_program(const Subprocess& program, const Cancel& cancel);

/// Where PATH has a program of this name; nothing where it has none.
std::optional<std::filesystem::path> find_program(const std::string& name);

/// The last line of a file that is not empty: what a program that failed has to say. Empty where there is none.
std::string last_line(const std::filesystem::path& log);

/// An argument as a shell takes it back: in quotes where it must be.
std::string shell_word(const std::string& argument);
/// A command line's arguments, of which shell_word() made it: parted by blanks outside of quotes; a backslash takes
/// what follows as it is, but for between single quotes. Nothing is expanded. Throws Error (usage) where a quote has no
/// end.
std::vector<std::string> split_words(std::string_view line);

}  // namespace reattend
