// Traces made of traces: a part of one, or two that follow each other.
#pragma once
#include <cstdint>
#include <filesystem>
#include <vector>

#include "base/progress.h"
#include "base/thread_pool.h"

namespace reattend {

struct TraceSlice {
  int32_t first_step = 1, last_step = 0;  ///< of the source; last 0: to its end. What comes before becomes prompt
  std::vector<int32_t> layers;            ///< empty: all that are stored
  bool values = true;                     ///< false: left out
};

/// Writes the part of `source` to `target`, which takes its name when it is whole. Returns its number of steps. Throws
/// Error (usage) for steps and layers that the source does not have, or when `target` exists and `force` is not set;
/// Cancelled when `cancel` is raised.
int32_t slice_trace(const std::filesystem::path& source, const std::filesystem::path& target, const TraceSlice& slice,
                    bool force, ThreadPool& pool, const ProgressFn& progress, const Cancel& cancel);

/// The steps of `first` and those of `second`, which was recorded, or cut out, from where `first` ends: same model,
/// settings and stored parts, and tokens and keys of its prompt are those of all of `first`. Throws Error (usage) that
/// says what differs.
int32_t merge_traces(const std::filesystem::path& first, const std::filesystem::path& second,
                     const std::filesystem::path& target, bool force, ThreadPool& pool, const ProgressFn& progress,
                     const Cancel& cancel);

}  // namespace reattend
