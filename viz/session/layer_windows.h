// Layers that the model itself confines to their last positions, in words.
#pragma once
#include <string>

#include "traces/trace_info.h"

namespace reattend::viz {

/// "layers 0 to 4, 6 look back 512 positions by themselves"; of several windows one after the other. Empty where no
/// layer has one.
std::string windows_in_words(const TraceInfo& info);

}  // namespace reattend::viz
