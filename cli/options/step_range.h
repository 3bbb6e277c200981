// Ranges of steps on the command line.
#pragma once
#include <cstdint>
#include <string>

namespace reattend::cli {

/// Steps first ... last, counted from 1.
struct StepRange {
  int32_t first = 1, last = 0;
};
/// "N" is 1 ... N, "A:B" is A ... B; where `open_ends`, either of A and B may be missing, and last is then 0. Throws
/// Error (usage) naming --steps.
StepRange parse_steps(const std::string& text, bool open_ends);

}  // namespace reattend::cli
