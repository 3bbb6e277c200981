// How many processors this process may keep busy: its CPU affinity and the CPU quota of its control groups.
#pragma once
#include <filesystem>
#include <limits>
#include <string>

namespace reattend {

struct Processors {
  int affinity = 1;                                        ///< processors in the CPU affinity mask
  double quota = std::numeric_limits<double>::infinity();  ///< seconds of CPU time a second; infinity: no quota

  /// Threads that can run at once: a quota of 1.5 keeps two busy for three quarters of the time.
  int usable() const;
};

/// The process's own limits. The files of proc and of the control groups are looked for below `root`, a test's folder;
/// what can't be read there limits nothing.
Processors processors(const std::filesystem::path& root = "/");

/// One line for the user who asked for more threads than can run at once, empty for everyone else.
std::string too_many_threads(int n_thread, const Processors& processors);

}  // namespace reattend
