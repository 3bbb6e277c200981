// Shows what `reattend bench replay` found: how long each kind of change took, beside its target.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/reports/bench.h"
#include "report/table.h"

namespace reattend::cli {
namespace {

Table times_table(const ReplayTimes& found) {
  Table out = {.columns = {{.key = "change", .left = true},
                           {.key = "ms", .digits = 1},
                           {.key = "cpu_ms", .title = "CPU ms", .digits = 1},
                           {.key = "target_ms", .title = "target", .digits = 0},
                           {.key = "n"},
                           {.key = {}, .title = " ", .left = true}}};
  for (const ReplayTime& time : found.times) {
    out.rows.push_back({time.change, time.ms, time.cpu_ms, time.target_ms > 0 ? Cell(time.target_ms) : Cell(),
                        int64_t{time.n}, std::string(time.met() ? "" : "missed")});
  }
  return out;
}

}  // namespace

std::string to_text(const ReplayTimes& found, const std::string& trace) {
  constexpr auto kGb = static_cast<double>(kGigabyte);
  return fmt::format("{}: {} layers x {} KV heads, {} steps that end at {} positions; {} threads\n\n",
                     trace.empty() ? "made-up run" : trace, found.n_layer, found.n_kv_head, found.n_step,
                     found.n_prompt + found.n_step, found.threads) +
         to_text(times_table(found)) +
         fmt::format(
             "\nms: median by the clock, of changes to values not seen before, which shall be below the target; CPU "
             "ms: of all\nthreads together. memory: {:.2f} GB held of {:.2f} that may be, {:.2f} at most by the "
             "process\n",
             static_cast<double>(found.held) / kGb, static_cast<double>(found.memory_limit) / kGb,
             static_cast<double>(found.peak) / kGb);
}

nlohmann::json to_json(const ReplayTimes& found, const std::string& trace) {
  nlohmann::json rows = to_json(times_table(found));
  for (size_t i = 0; i < found.times.size(); ++i) rows[i]["met"] = found.times[i].met();
  return {{"trace", trace.empty() ? nlohmann::json(nullptr) : nlohmann::json(trace)},
          {"n_layer", found.n_layer},
          {"n_kv_head", found.n_kv_head},
          {"n_prompt", found.n_prompt},
          {"n_step", found.n_step},
          {"threads", found.threads},
          {"memory_limit", found.memory_limit},
          {"memory_held", found.held},
          {"memory_peak", found.peak},
          {"times", rows}};
}

}  // namespace reattend::cli
