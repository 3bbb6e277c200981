// GPUs by their data sheets, for what-if: nothing in here was measured.
#pragma once
#include <span>
#include <string>
#include <string_view>

#include "traces/read/reader.h"

namespace reattend {

struct KnownGpu {
  std::string_view name;
  double gbps = 0;       ///< memory bandwidth by the data sheet, 1e9 bytes a second
  double memory_gb = 0;  ///< 1e9 bytes
};

/// Slowest first.
std::span<const KnownGpu> known_gpus();
/// By its name or the beginning of it that is its alone, with or without the maker's words ("4090", "nvidia h200").
/// Throws Error (usage) naming `option` and the names most like it.
const KnownGpu& known_gpu(std::string_view name, const std::string& option);

/// Of the data sheet's bandwidth, about what plain reading reaches.
inline constexpr double kDatasheetShare = 0.9;

/// A calibration that was not measured: all bytes at that share, choosing free, launches left out. Real steps take
/// longer. weight_bytes: of one step.
Calibration from_datasheet(const KnownGpu& gpu, const TraceInfo& info, double weight_bytes);

}  // namespace reattend
