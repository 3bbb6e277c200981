// A trace in the event format that ui.perfetto.dev and chrome://tracing load.
#pragma once
#include <functional>
#include <string_view>

#include "base/progress.h"
#include "traces/read/reader.h"

namespace reattend {

/// Steps one after the other as slices named by their tokens, below them a track for each stored layer whose slices are
/// full or partial, with their measures as arguments; a counter for each measure. Times are those of the steps, without
/// pauses; what was not measured is left out. The text comes in parts.
void write_perfetto(TraceReader& trace, const std::function<void(std::string_view)>& write, const Cancel& cancel);

}  // namespace reattend
