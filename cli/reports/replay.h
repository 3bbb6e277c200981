// What a replay found, as a table for people and as JSON for programs.
#pragma once
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "replay/replay.h"
#include "report/table.h"

namespace reattend::cli {

/// "t.h5: 600 prompt tokens, 24 steps, 30 layers x 3 KV heads".
std::string trace_line(const TraceInfo& info);

/// A row for each layer, the total last. Names and units as in docs/semantics.md.
Table replay_table(const ReplayResult& result);
/// The table, then the predicted times.
std::string to_text(const ReplayResult& result, const TraceInfo& info);
/// {"trace", "settings", "total", "layers": [{"layer", ...}]}
nlohmann::json to_json(const ReplayResult& result, const TraceInfo& info);

}  // namespace reattend::cli
