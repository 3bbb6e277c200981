// Runs another program without a shell and reads what it prints while it runs; it ends with this process at the latest.
#pragma once
#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/progress.h"

namespace reattend {

struct PipedProgram {
  std::vector<std::string> arguments;             ///< a path to the program, not looked up on PATH, and its arguments
  size_t most_output = size_t{64} << 20;          ///< bytes of standard output; who prints more is ended
  std::chrono::milliseconds grace{2000};          ///< between two signals to a program that shall end
  std::function<void(std::string_view)> on_line;  ///< a line of standard error, without its end; of a longer one the
                                                  ///< first kMostLine bytes
};
inline constexpr size_t kMostLine = 4096;

struct PipedEnd {
  std::string output;       ///< standard output
  int code = 0;             ///< exit code of a program that ended by itself
  int signal = 0;           ///< that ended it; 0: none
  bool stopped = false;     ///< it was asked to end
  bool overflowed = false;  ///< it printed more than it may, and was ended for that
  bool well() const { return code == 0 && signal == 0 && !stopped && !overflowed; }
};

/// Waits for the program's end. A raised `cancel` ends it, and whatever it has started: by SIGINT, by SIGTERM where it
/// still runs after a grace, by SIGKILL after another. Should this process be killed, the program is too. Throws Error
/// where it cannot be started.
PipedEnd run_piped(const PipedProgram& program, const Cancel& cancel);

/// "done", "exit code 2: wrong use", "killed by signal 9 (Killed)", "stopped".
std::string in_words(const PipedEnd& end);

}  // namespace reattend
