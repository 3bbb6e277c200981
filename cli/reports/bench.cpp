// Shows what a benchmark of a model found: rates are of medians, shares of stream of the counted bytes.
#include "cli/reports/bench.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/json_number.h"
#include "base/statistics.h"
#include "report/table.h"
#include "report/words.h"

namespace reattend::cli {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

double or_none(double value) {
  return value > 0 && std::isfinite(value) ? value : kNone;
}
/// The peer counts with the better of its two settings.
double peer_rate(const BenchRow& row) {
  return or_none(std::max(median(row.peer_flash), median(row.peer_plain)));
}

/// A full step that scores and selects beside one that does neither; nan where they were not measured.
double scoring_ratio(const ModelBench& found) {
  double full = kNone, scoring = kNone;
  for (const PolicyCost& each : found.policies) {
    if (each.settings.is_full()) full = each.full.ms;
    if (each.settings == found.scoring) scoring = each.full.ms;
  }
  return scoring / full;
}

Table rows_table(const ModelBench& found) {
  const double stream = median(found.stream);
  Table out = {.columns = {{.key = "work", .left = true},
                           {.key = "policy", .left = true},
                           {.key = "depth"},
                           {.key = "tok_per_s", .title = "tok/s", .digits = 1},
                           {.key = "peer_tok_per_s", .title = "peer", .digits = 1},
                           {.key = "ratio", .digits = 2},
                           {.key = "bytes_per_token", .hidden = true},
                           {.key = {}, .title = "MB/token", .digits = 1, .scale = 1e-6},
                           {.key = "macs_per_token", .hidden = true},
                           {.key = "stream_percent", .title = "% stream", .digits = 0}}};
  for (const BenchRow& row : found.rows) {
    const double rate = median(row.tok_per_s), peer = peer_rate(row);
    const bool decode = row.work == "decode";  // prefill is not bound by memory
    out.rows.push_back({row.work, row.policy, row.depth, rate, peer, rate / peer, row.bytes,
                        decode ? Cell(row.bytes) : Cell(), row.macs, decode ? rate * row.bytes / 1e7 / stream : kNone});
  }
  return out;
}

Table kernels_table(const ModelBench& found) {
  const double stream = median(found.stream);
  Table out = {.columns = {{.key = "name", .title = "kernel", .left = true},
                           {.key = "ms"},
                           {.key = "gbps", .title = "GB/s", .digits = 1},
                           {.key = "stream_percent", .title = "% stream", .digits = 0},
                           {.key = "gmac_per_s", .title = "GMAC/s", .digits = 0}}};
  for (const KernelTime& each : found.kernels) {
    const double rate = or_none(each.bytes / each.seconds / 1e9);
    out.rows.push_back(
        {each.name, each.seconds * 1e3, rate, 100 * rate / stream, or_none(each.macs / each.seconds / 1e9)});
  }
  return out;
}

Table policies_table(const ModelBench& found) {
  Table out = {.title = fmt::format("Policies at depth {}: medians by kind of step; choosing is the time in gate, "
                                    "before and after",
                                    found.cost_depth),
               .columns = {{.key = "policy", .left = true}}};
  for (const char* const group : {"a token", "a partial step", "a full step"}) {
    out.columns.push_back({.key = {}, .title = "ms", .digits = 2, .group = group});
    out.columns.push_back({.key = {}, .title = "choosing", .group = group});
    out.columns.push_back({.key = {}, .title = "%", .digits = 1, .group = group});
  }
  out.columns.push_back({.key = {}, .title = "MB/token", .digits = 1, .scale = 1e-6});
  for (const PolicyCost& each : found.policies) {
    std::vector<Cell>& row = out.rows.emplace_back(std::vector<Cell>{each.settings.summary()});
    const auto add = [&](double ms, double choosing) {
      row.insert(row.end(), {or_none(ms), ms > 0 ? choosing : kNone, 100 * choosing / or_none(ms)});
    };
    add(each.ms_per_token, each.choosing_ms), add(each.partial.ms, each.partial.choosing_ms);
    add(each.full.ms, each.full.choosing_ms);
    row.emplace_back(static_cast<double>(each.bytes.weights + each.bytes.attend + each.bytes.select));
  }
  return out;
}

nlohmann::json to_json(const PolicyCost& cost, int64_t depth) {
  const auto kind = [](const StepKind& step) {
    return step.n_step == 0 ? nlohmann::json()
                            : nlohmann::json{{"steps", step.n_step},
                                             {"ms", step.ms},
                                             {"choosing_ms", step.choosing_ms},
                                             {"choosing_percent", 100 * step.choosing_ms / step.ms}};
  };
  return {{"policy", cost.settings.policy()},
          {"summary", cost.settings.summary()},
          {"depth", depth},
          {"ms_per_token", cost.ms_per_token},
          {"choosing_ms", cost.choosing_ms},
          {"choosing_percent", 100 * cost.choosing_ms / cost.ms_per_token},
          {"partial", kind(cost.partial)},
          {"full", kind(cost.full)},
          {"bytes_weights", cost.bytes.weights},
          {"bytes_attend", cost.bytes.attend},
          {"bytes_select", cost.bytes.select}};
}

}  // namespace

std::string to_text(const ModelBench& found) {
  std::string out = fmt::format(
      "{}, {} threads, {} kernels, {} cache, {} activations, {} prefill\nstream {:.1f} GB/s (median pass {:.1f}), "
      "peak {:.0f} (f32) and {:.0f} (int8) GMAC/s\n",
      found.model, found.threads, found.cpu, found.kv, found.activations, found.prefill, median(found.stream),
      median(found.usual_stream), found.peak.f32_gmacs, found.peak.int8_gmacs);
  if (!found.rows.empty()) {
    out += fmt::format("\nMedians of {}{}; bytes are the engine's count, selection and packing included\n",
                       plural(found.repeats, "repeat"),
                       found.peer.empty()
                           ? ""
                           : " interleaved with the peer, which counts with its better of flash attention on and off");
    out += to_text(rows_table(found));
  }
  if (!found.kernels.empty()) out += "\n" + to_text(kernels_table(found));
  if (found.policies.empty()) return out;
  out += "\n" + to_text(policies_table(found));
  if (const double ratio = scoring_ratio(found); std::isfinite(ratio)) {
    out += fmt::format("A full step that scores and selects takes {:.3f} times a plain full step.\n", ratio);
  }
  return out;
}

nlohmann::json to_json(const ModelBench& found) {
  nlohmann::json rows = to_json(rows_table(found)), policies = nlohmann::json::array();
  for (size_t i = 0; i < found.rows.size(); ++i) {
    rows[i]["samples"] = found.rows[i].tok_per_s;
    rows[i]["peer_flash_samples"] = found.rows[i].peer_flash;
    rows[i]["peer_plain_samples"] = found.rows[i].peer_plain;
  }
  for (const PolicyCost& each : found.policies) policies.push_back(to_json(each, found.cost_depth));
  return {{"model", found.model},
          {"threads", found.threads},
          {"cpu", found.cpu},
          {"kv", found.kv},
          {"activations", found.activations},
          {"prefill", found.prefill},
          {"stream_gbps", median(found.stream)},
          {"stream_median_gbps", median(found.usual_stream)},
          {"peak_f32_gmacs", found.peak.f32_gmacs},
          {"peak_int8_gmacs", found.peak.int8_gmacs},
          {"repeats", found.repeats},
          {"peer", found.peer.empty() ? nlohmann::json() : nlohmann::json(found.peer)},
          {"rows", rows},
          {"kernels", to_json(kernels_table(found))},
          {"policies", policies},
          {"scoring_ratio", json_number(scoring_ratio(found))},
          {"stopped", found.stopped}};
}

Chart to_chart(const ModelBench& found) {
  const double stream = median(found.stream);
  const auto panel = [&](const char* title) {
    return Panel{.title = title,
                 .x = {.title = "multiply-adds per byte read", .log = true},
                 .y = {.title = "GMAC/s", .log = true},
                 .name_points = true};
  };
  Panel steps = panel("steps and prefill"), kernels = panel("kernels");
  double low = std::numeric_limits<double>::infinity(), high = 0;
  const auto add = [&](Panel& to, const std::string& name, double intensity, double rate) {
    if (!(intensity > 0) || !std::isfinite(intensity) || !(rate > 0)) return;
    to.series.push_back({.name = name, .x = {intensity}, .y = {rate}, .line = false, .points = true});
    low = std::min(low, intensity), high = std::max(high, intensity);
  };
  for (const BenchRow& row : found.rows) {
    add(steps, fmt::format("{} {} at {}", row.work, row.policy, row.depth), row.macs / row.bytes,
        row.macs * median(row.tok_per_s) / 1e9);
  }
  for (const KernelTime& each : found.kernels) {
    add(kernels, each.name, each.macs / each.bytes, each.macs / each.seconds / 1e9);
  }
  if (low > high) low = 1, high = 1;
  const double from = low / 3, to = std::max(high * 3, 3 * found.peak.int8_gmacs / stream);
  for (Panel* each : {&steps, &kernels}) {
    each->y.high = 2 * std::max(found.peak.int8_gmacs, found.peak.f32_gmacs);
    std::vector<Series> limits;  // first, so that the legend begins with them
    const auto line = [&](const std::string& name, double x0, double y0, double x1, double y1) {
      limits.push_back({.name = name, .x = {x0, x1}, .y = {y0, y1}});
    };
    const double ridge8 = found.peak.int8_gmacs / stream, ridge32 = found.peak.f32_gmacs / stream;
    line(fmt::format("stream, {:.1f} GB/s", stream), from, from * stream, ridge8, found.peak.int8_gmacs);
    line(fmt::format("int8 peak, {:.0f} GMAC/s", found.peak.int8_gmacs), ridge8, found.peak.int8_gmacs, to,
         found.peak.int8_gmacs);
    line(fmt::format("f32 peak, {:.0f} GMAC/s", found.peak.f32_gmacs), ridge32, found.peak.f32_gmacs, to,
         found.peak.f32_gmacs);
    each->series.insert(each->series.begin(), limits.begin(), limits.end());
  }
  Chart chart = {.title = fmt::format("{}: what the machine allows and what is reached", found.model),
                 .subtitle = fmt::format("{} threads, {} kernels, {} cache; bytes are those that must be read, decode "
                                         "steps' as the engine counts them; medians",
                                         found.threads, found.cpu, found.kv)};
  if (!found.rows.empty()) chart.panels.push_back(steps);
  if (!found.kernels.empty()) chart.panels.push_back(kernels);
  return chart;
}

}  // namespace reattend::cli
