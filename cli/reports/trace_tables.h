// A trace as tables: a row a step, a row a KV head, and what was recorded by layer.
#pragma once
#include <span>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "report/table.h"
#include "traces/read/reader.h"

namespace reattend::cli {

/// Means over the stored layers' KV heads.
Table steps_table(TraceReader& trace, const StepData& steps);
/// Means over the steps, of the stored layers.
Table heads_table(const TraceInfo& info, const StepData& steps);
/// Means over steps and KV heads: of all these layers, then of each.
Table layers_table(const TraceInfo& info, const StepData& steps, std::span<const int32_t> layers);

/// A line stays a line: raw bytes of tokens are written as in JSON.
std::string csv_of(Table table);
/// Both tables of a trace, beside what it is.
nlohmann::ordered_json json_of(const Table& steps, const Table& heads, const TraceInfo& info);

}  // namespace reattend::cli
