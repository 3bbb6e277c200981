// Replay and tuning results as tables for people and as JSON for programs.
#pragma once
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "replay/replay.h"
#include "tune/tune.h"

namespace reattend {

/// Names and units as in SEMANTICS; what does not exist (nan) and an infinite stride are null.
nlohmann::json to_json(const ReplaySummary& summary);
/// {"trace", "settings", "total", "layers": [{"layer", ...}]}
nlohmann::json to_json(const ReplayResult& result, const TraceInfo& info);
nlohmann::json to_json(const TunePoint& point);
nlohmann::json to_json(const TuneResult& result);

/// A row per layer and the total, then the predicted times.
std::string to_table(const ReplayResult& result, const TraceInfo& info);
/// The Pareto front, fastest first, the choice with its reason, and where there are several traces or held-out ones the
/// choice on each.
std::string to_table(const TuneResult& result);

}  // namespace reattend
