// Looks at everything in a trace and says what is wrong with it.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "base/progress.h"

namespace reattend {

struct TraceCheck {
  std::vector<std::string> problems;  ///< one line each; empty for a sound trace
  int64_t bytes_read = 0;
  int32_t rows_recomputed = 0;
  double worst_weight_error = 0;  ///< largest difference of a map's weight from its row, recomputed
};

/// Reads every dataset, checks ranges and sums, and recomputes `n_row` attention rows from keys and queries to hold
/// them against the maps. Throws Error if the file cannot be opened as a trace.
TraceCheck check_trace(const std::filesystem::path& path, int32_t n_row, const ProgressFn& progress,
                       const Cancel& cancel);

}  // namespace reattend
