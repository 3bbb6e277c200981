// Runs code that may not be trusted to end, or to stay small, in a child process with limits.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

namespace reattend {

struct ContainedLimits {
  int64_t cpu_seconds;
  int64_t memory_bytes;  ///< beyond what this process has mapped
  int64_t output_bytes;  ///< of the result
};

struct ContainedResult {
  enum class Ended : uint8_t { well, time, memory, output, stack, otherwise } ended;
  std::string output;  ///< what `work` gave; where it ended otherwise: how, in words
};

/// `work` runs in a copy of this process and touches nothing here; what it gives is handed back. It must not rely on
/// other threads. std::bad_alloc that it lets out is the end of memory; it must let out no other exception.
ContainedResult run_contained(const ContainedLimits& limits, const std::function<std::string()>& work);

}  // namespace reattend
