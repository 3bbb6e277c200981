// Rates come from medians; shares of stream from the bytes that were counted.
#include "cli/reports/bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/statistics.h"

namespace reattend::cli {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

/// The peer counts with the better of its two settings.
double peer_rate(const BenchRow& row) {
  const double best = std::max(median(row.peer_flash), median(row.peer_plain));
  return best > 0 ? best : kNone;
}
/// Only of decoding: prefill is not bound by memory.
double stream_percent(const BenchRow& row, double stream) {
  return row.work == "decode" ? median(row.tok_per_s) * row.bytes / 1e7 / stream : kNone;
}

std::string cell(double value, int digits) {
  return std::isfinite(value) ? fmt::format("{:.{}f}", value, digits) : "-";
}
double or_none(double value) {
  return value > 0 ? value : kNone;
}
nlohmann::json number(double value) {
  return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json();
}

/// A full step that scores and selects beside one that does neither; nan where they were not measured.
double scoring_ratio(const BenchReport& report) {
  double full = kNone, scoring = kNone;
  for (const PolicyCost& each : report.policies) {
    if (each.settings.is_full()) full = each.full.ms;
    if (each.settings == report.scoring) scoring = each.full.ms;
  }
  return scoring / full;
}

std::string rows_text(const BenchReport& report, double stream) {
  std::vector<std::vector<std::string>> table = {
      {"work", "policy", "depth", "tok/s", "peer", "ratio", "MB/token", "% stream"}};
  for (const BenchRow& row : report.rows) {
    const double rate = median(row.tok_per_s), peer = peer_rate(row);
    table.push_back({row.work, row.policy, std::to_string(row.depth), cell(rate, 1), cell(peer, 1),
                     cell(rate / peer, 2), row.work == "decode" ? cell(row.bytes / 1e6, 1) : "-",
                     cell(stream_percent(row, stream), 0)});
  }
  return aligned_columns(table, 2);
}

std::string kernels_text(const BenchReport& report, double stream) {
  std::vector<std::vector<std::string>> table = {{"kernel", "ms", "GB/s", "% stream", "GMAC/s"}};
  for (const KernelTime& each : report.kernels) {
    const double rate = or_none(each.bytes / each.seconds / 1e9);
    table.push_back({each.name, cell(each.seconds * 1e3, 3), cell(rate, 1), cell(100 * rate / stream, 0),
                     cell(or_none(each.macs / each.seconds / 1e9), 0)});
  }
  return aligned_columns(table, 1);
}

std::string policies_text(const BenchReport& report) {
  std::vector<std::vector<std::string>> table = {
      {"policy", "ms/token", "choosing", "%", "partial ms", "choosing", "%", "full ms", "choosing", "%", "MB/token"}};
  for (const PolicyCost& each : report.policies) {
    std::vector<std::string> row = {each.settings.summary()};
    const auto add = [&](double ms, double choosing) {
      row.push_back(cell(or_none(ms), 2)), row.push_back(cell(ms > 0 ? choosing : kNone, 3));
      row.push_back(cell(100 * choosing / or_none(ms), 1));
    };
    add(each.ms_per_token, each.choosing_ms), add(each.partial.ms, each.partial.choosing_ms);
    add(each.full.ms, each.full.choosing_ms);
    row.push_back(cell(static_cast<double>(each.bytes.weights + each.bytes.attend + each.bytes.select) / 1e6, 1));
    table.push_back(row);
  }
  return aligned_columns(table, 1);
}

}  // namespace

std::string aligned_columns(const std::vector<std::vector<std::string>>& rows, size_t n_left) {
  std::vector<size_t> widths(rows.front().size());
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      out += i == 0 ? "" : "  ";
      out += i < n_left ? fmt::format("{:<{}}", row[i], widths[i]) : fmt::format("{:>{}}", row[i], widths[i]);
    }
    out += '\n';
  }
  return out;
}

std::string to_text(const BenchReport& report) {
  const double stream = median(report.stream);
  std::string out = fmt::format(
      "{}, {} threads, {} kernels, {} cache, {} activations; stream {:.1f} GB/s (median pass {:.1f}), peak {:.0f} "
      "(f32) and {:.0f} (int8) "
      "GMAC/s\n",
      report.model, report.threads, report.cpu, report.kv, report.activations, stream, median(report.usual_stream),
      report.peak.f32_gmacs, report.peak.int8_gmacs);
  if (!report.rows.empty()) {
    out += fmt::format(
        "\nMedians of {} repeats{}; bytes are the engine's count, selection and packing included\n", report.repeats,
        report.peer.empty() ? ""
                            : " in turns with the peer, which counts with its better of flash attention on and off");
    out += rows_text(report, stream);
  }
  if (!report.kernels.empty()) out += "\n" + kernels_text(report, stream);
  if (!report.policies.empty()) {
    out +=
        fmt::format("\nPolicies at depth {}: medians by kind of step; choosing is the time in gate, before and after\n",
                    report.cost_depth);
    out += policies_text(report);
    const double ratio = scoring_ratio(report);
    if (std::isfinite(ratio)) {
      out += fmt::format("A full step that scores and selects takes {:.3f} times a plain full step.\n", ratio);
    }
  }
  return out;
}

nlohmann::json to_json(const BenchReport& report) {
  const double stream = median(report.stream);
  nlohmann::json rows = nlohmann::json::array(), kernels = rows, policies = rows;
  for (const BenchRow& row : report.rows) {
    const double rate = median(row.tok_per_s), peer = peer_rate(row);
    rows.push_back({{"work", row.work},
                    {"policy", row.policy},
                    {"depth", row.depth},
                    {"tok_per_s", rate},
                    {"samples", row.tok_per_s},
                    {"peer_tok_per_s", number(peer)},
                    {"peer_flash_samples", row.peer_flash},
                    {"peer_plain_samples", row.peer_plain},
                    {"ratio", number(rate / peer)},
                    {"bytes_per_token", row.bytes},
                    {"macs_per_token", row.macs},
                    {"stream_percent", number(stream_percent(row, stream))}});
  }
  for (const KernelTime& each : report.kernels) {
    const double rate = or_none(each.bytes / each.seconds / 1e9);
    kernels.push_back({{"name", each.name},
                       {"ms", each.seconds * 1e3},
                       {"gbps", number(rate)},
                       {"stream_percent", number(100 * rate / stream)},
                       {"gmac_per_s", number(or_none(each.macs / each.seconds / 1e9))}});
  }
  const auto kind = [](const StepKind& step) {
    return step.n_step == 0 ? nlohmann::json()
                            : nlohmann::json{{"steps", step.n_step},
                                             {"ms", step.ms},
                                             {"choosing_ms", step.choosing_ms},
                                             {"choosing_percent", 100 * step.choosing_ms / step.ms}};
  };
  for (const PolicyCost& each : report.policies) {
    policies.push_back({{"policy", each.settings.policy()},
                        {"summary", each.settings.summary()},
                        {"depth", report.cost_depth},
                        {"ms_per_token", each.ms_per_token},
                        {"choosing_ms", each.choosing_ms},
                        {"choosing_percent", 100 * each.choosing_ms / each.ms_per_token},
                        {"partial", kind(each.partial)},
                        {"full", kind(each.full)},
                        {"bytes_weights", each.bytes.weights},
                        {"bytes_attend", each.bytes.attend},
                        {"bytes_select", each.bytes.select}});
  }
  return {{"model", report.model},
          {"threads", report.threads},
          {"cpu", report.cpu},
          {"kv", report.kv},
          {"activations", report.activations},
          {"stream_gbps", stream},
          {"stream_median_gbps", median(report.usual_stream)},
          {"peak_f32_gmacs", report.peak.f32_gmacs},
          {"peak_int8_gmacs", report.peak.int8_gmacs},
          {"repeats", report.repeats},
          {"peer", report.peer.empty() ? nlohmann::json() : nlohmann::json(report.peer)},
          {"rows", rows},
          {"kernels", kernels},
          {"policies", policies},
          {"scoring_ratio", number(scoring_ratio(report))},
          {"stopped", report.stopped}};
}

Chart to_chart(const BenchReport& report) {
  const double stream = median(report.stream);
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
  for (const BenchRow& row : report.rows) {
    add(steps, fmt::format("{} {} at {}", row.work, row.policy, row.depth), row.macs / row.bytes,
        row.macs * median(row.tok_per_s) / 1e9);
  }
  for (const KernelTime& each : report.kernels) {
    add(kernels, each.name, each.macs / each.bytes, each.macs / each.seconds / 1e9);
  }
  if (low > high) low = 1, high = 1;
  const double from = low / 3, to = std::max(high * 3, 3 * report.peak.int8_gmacs / stream);
  for (Panel* each : {&steps, &kernels}) {
    each->y.high = 2 * std::max(report.peak.int8_gmacs, report.peak.f32_gmacs);
    std::vector<Series> limits;  // first, so that the legend begins with them
    const auto line = [&](const std::string& name, double x0, double y0, double x1, double y1) {
      limits.push_back({.name = name, .x = {x0, x1}, .y = {y0, y1}});
    };
    const double ridge8 = report.peak.int8_gmacs / stream, ridge32 = report.peak.f32_gmacs / stream;
    line(fmt::format("stream, {:.1f} GB/s", stream), from, from * stream, ridge8, report.peak.int8_gmacs);
    line(fmt::format("int8 peak, {:.0f} GMAC/s", report.peak.int8_gmacs), ridge8, report.peak.int8_gmacs, to,
         report.peak.int8_gmacs);
    line(fmt::format("f32 peak, {:.0f} GMAC/s", report.peak.f32_gmacs), ridge32, report.peak.f32_gmacs, to,
         report.peak.f32_gmacs);
    each->series.insert(each->series.begin(), limits.begin(), limits.end());
  }
  Chart chart = {.title = fmt::format("{}: what the machine allows and what is reached", report.model),
                 .subtitle = fmt::format("{} threads, {} kernels, {} cache; bytes are those that must be read, decode "
                                         "steps' as the engine counts them; medians",
                                         report.threads, report.cpu, report.kv)};
  if (!report.rows.empty()) chart.panels.push_back(steps);
  if (!report.kernels.empty()) chart.panels.push_back(kernels);
  return chart;
}

}  // namespace reattend::cli
