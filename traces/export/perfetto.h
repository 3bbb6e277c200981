// A trace in the event format that ui.perfetto.dev and chrome://tracing load.
#pragma once
#include <functional>
#include <string_view>

#include "base/progress.h"
#include "traces/export/trace_tables.h"

namespace reattend {

/// Steps one after the other as slices named by their tokens, with their numbers as arguments; counters of bytes, mass
/// and positions, and for each stored layer its share of full KV heads. Times are those of the steps, without pauses.
/// The text comes in parts.
void write_perfetto(TraceReader& trace, const TraceTables& tables, const std::function<void(std::string_view)>& write,
                    const Cancel& cancel);

}  // namespace reattend
