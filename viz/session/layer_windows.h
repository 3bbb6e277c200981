// Layers that the model itself confines to their last positions, in words.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "traces/trace_info.h"

namespace reattend::viz {

/// Layers one after the other that look back as many positions.
struct WindowRun {
  int32_t first = 0, last = 0;
  int64_t window = 0;
};
std::vector<WindowRun> window_runs(const TraceInfo& info);
/// "layers 0 to 4, 6 look back 512 positions by themselves"; of several windows one after the other. Empty where no
/// layer has one.
std::string windows_in_words(const TraceInfo& info);

}  // namespace reattend::viz
