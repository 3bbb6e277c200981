// An error that says what was expected, what was found, where, and what to do about it.
#pragma once
#include <stdexcept>
#include <string>

namespace reattend {

/// Exit codes of every program: 0 ok, 1 failed, 2 wrong use.
enum class ExitCode : int { ok = 0, failed = 1, usage = 2 };

/// The one exception type of the project. `what()` is a single line, fit to be shown to a user as it is.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& line, ExitCode code = ExitCode::failed) : std::runtime_error(line), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

/// The parts of a good error line; empty parts are left out.
struct Complaint {
  std::string where;     ///< file, option, dataset, offset
  std::string expected;  ///< what the program needs
  std::string got;       ///< what it found
  std::string remedy;    ///< what the user can do
};

/// "WHERE: expected E, got G; REMEDY" with control characters of hostile files made harmless.
std::string to_line(const Complaint& complaint);

/// Throws Error with the line of `complaint`, exit code 1.
[[noreturn]] void fail(const Complaint& complaint);
/// Throws Error with the line of `complaint`, exit code 2.
[[noreturn]] void fail_usage(const Complaint& complaint);

}  // namespace reattend
