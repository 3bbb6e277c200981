// Shows a replay: a row for each layer and the total, predicted times, and what of both is not known.
#include "cli/reports/replay.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "base/json_number.h"
#include "replay/cost/cost.h"
#include "replay/summary_fields.h"

namespace reattend::cli {
namespace {

std::vector<Cell> row_of(Cell layer, const ReplaySummary& s) {
  std::vector<Cell> row = {std::move(layer)};
  for (const SummaryField& each : kSummaryFields) row.emplace_back(s.*each.field);
  row.emplace_back(s.bytes_attend + s.bytes_select);
  return row;
}

}  // namespace

std::string trace_line(const TraceInfo& info) {
  return fmt::format("{}: {} prompt tokens, {} steps, {} layers x {} KV heads\n", info.path.string(), info.n_prompt,
                     info.n_step, info.n_layer, info.n_kv_head);
}

Table replay_table(const ReplayResult& result) {
  Table out = {.name = "layers", .columns = {{.key = "layer"}}};
  for (const SummaryField& each : kSummaryFields) {
    const bool shown = each.field == &ReplaySummary::recovered_upper ? result.from_maps : !each.hidden;
    out.columns.push_back(
        {.key = each.key, .title = each.title, .digits = each.digits, .group = each.group, .hidden = !shown});
  }
  out.columns.push_back({.key = {}, .title = "MB/step", .scale = 1e-6});
  for (size_t i = 0; i < result.layers.size(); ++i) {
    out.rows.push_back(row_of(int64_t{result.layers[i].layer}, result.per_layer[i]));
  }
  out.rows.push_back(row_of(std::string("total"), result.total));
  return out;
}

std::string to_text(const ReplayResult& result, const TraceInfo& info) {
  const ReplaySummary& total = result.total;
  std::string text = trace_line(info) + result.settings.summary() + "\n\n" + to_text(replay_table(result));
  if (result.from_maps) {
    text += fmt::format(
        "\nfrom maps alone: the recovered mass lies between {:.4f} and {:.4f}; the oracle's is an upper bound, and its "
        "share\nis of the lower one.\n",
        total.recovered, total.recovered_upper);
  }
  if (total.ms_per_token > 0) {
    text += fmt::format("\npredicted: {:.3f} ms per token, full attention {:.3f}, speed-up {:.2f}\n",
                        total.ms_per_token, total.ms_per_token_full, total.ms_per_token_full / total.ms_per_token);
    if (!total.assumed_rates.empty()) {
      text += fmt::format("a guess: the calibration did not measure {}; simpler rates, or none, stand in\n",
                          fmt::join(total.assumed_rates, ", "));
    }
  } else {
    text += fmt::format("\nno time predicted: {}\n", is_calibrated(info.calibration) ? "not all layers were replayed"
                                                                                     : "the trace has no calibration");
  }
  return text;
}

nlohmann::json to_json(const ReplayResult& result, const TraceInfo& info) {
  nlohmann::json layers = to_json(replay_table(result));
  nlohmann::json total = layers.back();
  layers.erase(layers.size() - 1);
  total.erase("layer");
  const auto ms = [](double x) { return x > 0 ? json_number(x) : nullptr; };
  total["ms_per_token"] = ms(result.total.ms_per_token);
  total["ms_per_token_full"] = ms(result.total.ms_per_token_full);
  total["assumed_rates"] = result.total.assumed_rates;
  return {{"trace", info.path.string()},
          {"n_prompt", info.n_prompt},
          {"n_step", info.n_step},
          {"settings", result.settings.to_json()},
          {"from_maps", result.from_maps},
          {"total", total},
          {"layers", layers}};
}

}  // namespace reattend::cli
