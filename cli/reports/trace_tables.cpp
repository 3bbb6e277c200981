// Makes tables whose columns are the measures of the trace format, whichever those are.
#include "cli/reports/trace_tables.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/json_number.h"
#include "traces/step_means.h"

namespace reattend::cli {
namespace {

std::vector<Measure> measures_where(const TraceInfo& info, bool (*wanted)(const Measure&)) {
  std::vector<Measure> out = measures_of(info);
  std::erase_if(out, [&](const Measure& each) { return !wanted(each); });
  return out;
}

/// Counts stay counts.
Cell cell_of(const Measure& measure, double mean) {
  if (measure.row->type == schema::Type::i64 && std::isfinite(mean)) return static_cast<int64_t>(mean);
  return mean;
}

}  // namespace

Table steps_table(TraceReader& trace, const StepData& steps) {
  const TraceInfo& info = trace.info();
  const std::vector<Measure> measures = measures_of(info);
  Table out{.name = "steps", .columns = {{"step"}, {"position"}, {"token"}, {"text"}}};
  for (const Measure& each : measures) out.columns.push_back({each.key});
  for (int32_t t = 1; t <= info.n_step; ++t) {
    const int32_t token = steps.token[static_cast<size_t>(t - 1)];
    std::vector<Cell>& row = out.rows.emplace_back();
    row = {int64_t{t}, int64_t{info.n_prompt - 1 + t}, int64_t{token}, trace.token_text(token)};
    for (const Measure& each : measures) {
      row.push_back(cell_of(each, mean_of(each, info, steps, {.first_step = t, .last_step = t})));
    }
  }
  return out;
}

Table heads_table(const TraceInfo& info, const StepData& steps) {
  const std::vector<Measure> measures = measures_where(
      info, [](const Measure& m) { return m.by_kv_head() && m.row != &schema::dataset("steps/decision"); });
  Table out{.name = "heads",
            .columns = {{"layer"}, {"kv_head"}, {"n_step"}, {"n_full"}, {"n_measured"}, {"effective_stride"}}};
  for (const Measure& each : measures) {
    out.columns.push_back({each.key});
    if (each.key == "recovered") out.columns.push_back({"least_recovered"});
  }
  const auto n_kv = static_cast<size_t>(info.n_kv_head), width = static_cast<size_t>(info.n_layer) * n_kv;
  for (int32_t s = 0; s < info.n_stored(); ++s) {
    const int32_t layer = info.stored_layer(s);
    for (int32_t g = 0; g < info.n_kv_head; ++g) {
      int64_t n_full = 0, n_measured = 0;
      double least = std::numeric_limits<double>::infinity();
      for (size_t unit = static_cast<size_t>(layer) * n_kv + static_cast<size_t>(g); unit < steps.full.size();
           unit += width) {
        n_full += steps.full[unit];
        n_measured += std::isnan(steps.recovered[unit]) ? 0 : 1;
        least = std::min(least, static_cast<double>(steps.recovered[unit]));  // which NaN does not change
      }
      const double stride = static_cast<double>(info.n_step) / static_cast<double>(n_full);
      std::vector<Cell>& row = out.rows.emplace_back();
      row = {int64_t{layer}, int64_t{g}, int64_t{info.n_step}, n_full, n_measured, stride};
      for (const Measure& each : measures) {
        row.push_back(mean_of(each, info, steps, {.last_step = info.n_step, .layer = layer, .kv_head = g}));
        if (each.key == "recovered") row.push_back(n_measured > 0 ? Cell(least) : Cell());
      }
    }
  }
  return out;
}

Table layers_table(const TraceInfo& info, const StepData& steps, std::span<const int32_t> layers) {
  const std::vector<Measure> measures = measures_where(info, [](const Measure& m) { return m.by_layer(); });
  Table out{.name = "recorded", .columns = {{"layer"}}};
  for (const Measure& each : measures)
    out.columns.push_back({.key = each.key, .title = each.title, .digits = each.row->unit == "positions" ? 1 : 3});
  out.rows.push_back({std::string("all")});
  std::vector<double> sums(measures.size());
  std::vector<int32_t> counts(measures.size());
  for (const int32_t layer : layers) {
    std::vector<Cell> row = {int64_t{layer}};
    for (size_t i = 0; i < measures.size(); ++i) {
      const double mean = mean_of(measures[i], info, steps, {.last_step = info.n_step, .layer = layer});
      if (!std::isnan(mean)) sums[i] += mean, ++counts[i];
      row.push_back(mean);
    }
    out.rows.push_back(std::move(row));
  }
  for (size_t i = 0; i < measures.size(); ++i) {
    out.rows.front().push_back(counts[i] > 0 ? Cell(sums[i] / counts[i]) : Cell());
  }
  return out;
}

std::string csv_of(Table table) {
  for (std::vector<Cell>& row : table.rows) {
    for (Cell& cell : row) {
      auto* const text = std::get_if<std::string>(&cell);
      if (text == nullptr) continue;
      const std::string quoted = json_text(nlohmann::json(*text));
      *text = quoted.substr(1, quoted.size() - 2);
    }
  }
  return to_csv(table);
}

nlohmann::ordered_json json_of(const Table& steps, const Table& heads, const TraceInfo& info) {
  return {{"trace", info.path.string()}, {"policy", info.policy_known ? info.settings.to_json() : nlohmann::json()},
          {"shadow", info.shadow},       {"n_prompt", info.n_prompt},
          {"n_step", info.n_step},       {"steps", to_json(steps)},
          {"heads", to_json(heads)}};
}

}  // namespace reattend::cli
