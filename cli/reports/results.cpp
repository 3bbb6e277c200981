// Fixed-width tables and JSON of the same numbers.
#include "cli/reports/results.h"

#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "policies/layer_schedule.h"
#include "policies/value_text.h"
#include "replay/cost/cost.h"
#include "replay/estimates.h"
#include "tune/points.h"

namespace reattend {
namespace {

nlohmann::json number(double x) {
  return std::isfinite(x) ? nlohmann::json(x) : nlohmann::json(nullptr);
}

nlohmann::json number(const std::optional<double>& x) {
  return x ? number(*x) : nlohmann::json(nullptr);
}

/// A number in `width` columns; "-" for one that does not exist.
std::string cell(double x, int width, int digits) {
  if (std::isnan(x)) return fmt::format("{:>{}}", "-", width);
  return fmt::format("{:>{}.{}f}", x, width, digits);
}

std::string summary_row(const std::string& name, const ReplaySummary& s) {
  return fmt::format("{:>6}{}{}{}{}{}{}{}{}{}{}\n", name, cell(s.recovered, 10, 4), cell(s.oracle, 9, 4),
                     cell(s.normalised, 8, 4), cell(s.overlap, 9, 3), cell(s.jaccard, 9, 3),
                     cell(s.output_error_mean, 10, 4), cell(s.output_error_p95, 9, 4), cell(s.effective_stride, 8, 2),
                     cell(s.positions, 11, 1), cell((s.bytes_attend + s.bytes_select) * 1e-6, 10, 3));
}

std::string trace_line(const TraceInfo& info) {
  return fmt::format("{}: {} prompt tokens, {} steps, {} layers x {} KV heads\n", info.path.string(), info.n_prompt,
                     info.n_step, info.n_layer, info.n_kv_head);
}

constexpr const char* kMeasuredTitle = "       KL  top-1 % ms meas.";
std::string measured_cells(const Score& measured) {
  return fmt::format("{:>9.4f}{:>8.1f}{}", measured.kl, 100 * measured.agreement, cell(measured.ms, 9, 3));
}

/// What else tells a setting from others: its schedule's kind, or what its summary has beside S and K.
std::string kind_of(const TunePoint& point) {
  if (point.schedule > 0) return fmt::format("by layer #{}", point.schedule);
  if (!point.settings.takes("schedule")) return point.settings.summary({"S", "K"});
  const std::optional<double> gate = LayerSchedule(point.settings).gate(0);
  return gate ? "query > " + to_text(*gate) : "fixed";
}

std::string tune_row(const TunePoint& point, bool chosen) {
  const Settings& settings = point.settings;
  const auto column = [&](const char* key) {
    return settings.takes(key) && !settings.is_auto(key) ? ends_text(settings.get(key)) : std::string();
  };
  std::string row =
      fmt::format("{:1} {:>6} {:>9}  {:13}{}{}{}{}{}{}{}  {:6}", chosen ? "*" : "", column("S"), column("K"),
                  kind_of(point), cell(point.cost, 9, 3), cell(point.speed_up, 9, 2), cell(point.lost, 9, 4),
                  cell(point.estimate, 9, 4), cell(point.predicted_kl, 9, 4), cell(point.effective_stride, 8, 2),
                  cell(point.positions, 10, 1), point.within_bounds ? "yes" : "no");
  if (point.measured) row += measured_cells(*point.measured);
  return row + "\n";
}

/// What each layer gets, six to a line: S, K and the threshold where one is gated. Nothing where all get the same.
std::string schedule_lines(const Settings& settings) {
  const LayerSchedule schedule(settings);
  const bool gated = schedule.any_gate();
  std::string text;
  for (size_t i = 0; i < schedule.n_layer(); ++i) {
    const auto layer = static_cast<int>(i);
    const std::optional<Value> stride = schedule.stride(layer), budget = schedule.budget(layer);
    const std::optional<double> gate = schedule.gate(layer);
    text += i % 6 == 0 ? fmt::format("{}layer {:>3}: ", i == 0 ? "" : "\n", i) : " | ";
    if (stride) text += fmt::format("S {:>2} ", to_text(*stride));
    if (budget) text += fmt::format("K {:<5}", to_text(*budget));
    text += fmt::format("{:{}}", gate ? fmt::format(" > {}", *gate) : "", gated ? 7 : 0);
  }
  return text.empty() ? text : text + "\n";
}

nlohmann::json to_json(const PointNumbers& numbers) {
  nlohmann::json json = {{"cost", number(numbers.cost)},
                         {"speed_up", number(numbers.speed_up)},
                         {"output_error_mean", number(numbers.output_error_mean)},
                         {"output_error_p95", number(numbers.output_error_p95)},
                         {"lost", number(numbers.lost)},
                         {"recovered", number(numbers.recovered)},
                         {"normalised", number(numbers.normalised)},
                         {"effective_stride", number(numbers.effective_stride)},
                         {"positions", number(numbers.positions)},
                         {"estimate", number(numbers.estimate)},
                         {"predicted_kl", number(numbers.predicted_kl)}};
  if (numbers.measured) {
    json["measured"] = {{"kl", number(numbers.measured->kl)},
                        {"agreement", number(numbers.measured->agreement)},
                        {"ms_per_token", number(numbers.measured->ms)}};
    if (numbers.measured->full_ms > 0) json["measured"]["ms_per_token_full"] = numbers.measured->full_ms;
  }
  return json;
}

/// The choice on every trace, those it was not tuned on last.
std::string traces_table(const TuneResult& result) {
  const std::vector<std::string> names = trace_names(result);
  size_t width = 5;
  for (const std::string& each : names) width = std::max(width, each.size());
  bool any_measured = false;
  std::string rows;
  const auto add = [&](const std::string& name, const TunedTrace& trace, const PointNumbers& on, bool held_out) {
    rows += fmt::format("  {:<{}}{:>7}{:>7}{}{}{}{}{}{}", name, width, trace.info.n_prompt, trace.info.n_step,
                        cell(trace.full_cost, 9, 3), cell(on.cost, 9, 3), cell(on.speed_up, 9, 2), cell(on.lost, 9, 4),
                        cell(on.estimate, 9, 4), cell(on.predicted_kl, 9, 4));
    if (on.measured) rows += measured_cells(*on.measured);
    rows += held_out ? "  held out\n" : "\n";
    any_measured = any_measured || on.measured;
  };
  const size_t n = result.traces.size();
  for (size_t i = 0; i < n; ++i) add(names[i], result.traces[i], result.best().traces[i], false);
  for (size_t i = 0; i < result.held_out.size(); ++i) {
    add(names[n + i], result.held_out[i], result.held_out[i].numbers, true);
  }
  const std::string title =
      fmt::format("  {:<{}}{:>7}{:>7}{:>9}{:>9} speed-up     lost estimate  KL pred{}\n", "trace", width, "prompt",
                  "steps", "full", result.calibrated ? "ms/token" : "MB/token", any_measured ? kMeasuredTitle : "");
  return "\nthe choice on each trace:\n" + title + rows;
}

}  // namespace

nlohmann::json to_json(const ReplaySummary& s) {
  return {{"recovered", number(s.recovered)},
          {"recovered_upper", number(s.recovered_upper)},
          {"oracle", number(s.oracle)},
          {"normalised", number(s.normalised)},
          {"lost", number(s.lost)},
          {"overlap", number(s.overlap)},
          {"jaccard", number(s.jaccard)},
          {"output_error_mean", number(s.output_error_mean)},
          {"output_error_p95", number(s.output_error_p95)},
          {"effective_stride", number(s.effective_stride)},
          {"positions", number(s.positions)},
          {"bytes_attend", number(s.bytes_attend)},
          {"bytes_select", number(s.bytes_select)}};
}

nlohmann::json to_json(const ReplayResult& result, const TraceInfo& info) {
  nlohmann::json total = to_json(result.total);
  const bool predicted = result.total.ms_per_token > 0;
  total["ms_per_token"] = predicted ? number(result.total.ms_per_token) : nullptr;
  total["ms_per_token_full"] = predicted ? number(result.total.ms_per_token_full) : nullptr;
  total["assumed_rates"] = result.total.assumed_rates;
  nlohmann::json layers = nlohmann::json::array();
  for (size_t i = 0; i < result.layers.size(); ++i) {
    nlohmann::json layer = to_json(result.per_layer[i]);
    layer["layer"] = result.layers[i].layer;
    layers.push_back(std::move(layer));
  }
  return {{"trace", info.path.string()},
          {"n_prompt", info.n_prompt},
          {"n_step", info.n_step},
          {"settings", result.settings.to_json()},
          {"from_maps", result.from_maps},
          {"total", total},
          {"layers", layers}};
}

nlohmann::json to_json(const TunePoint& point) {
  nlohmann::json json = to_json(static_cast<const PointNumbers&>(point));
  json["settings"] = point.settings.to_json();
  json["summary"] = point.settings.summary();
  if (point.schedule > 0) json["schedule"] = point.schedule;
  json["all_layers"] = point.whole;
  json["within_bounds"] = point.within_bounds;
  json["on_front"] = point.on_front;
  if (point.traces.size() < 2) return json;
  for (const PointNumbers& each : point.traces) json["traces"].push_back(to_json(each));
  return json;
}

nlohmann::json to_json(const TuneResult& result) {
  const auto trace_of = [](const TunedTrace& trace) {
    return nlohmann::json{{"trace", trace.info.path.string()},
                          {"n_prompt", trace.info.n_prompt},
                          {"n_step", trace.info.n_step},
                          {"full_cost", number(trace.full_cost)}};
  };
  nlohmann::json points = nlohmann::json::array(), traces = points, validation = points;
  for (const TunePoint& point : result.points) points.push_back(to_json(point));
  for (const TunedTrace& trace : result.traces) traces.push_back(trace_of(trace));
  for (const HeldOutTrace& held : result.held_out) {
    validation.push_back(trace_of(held));
    validation.back().update(to_json(held.numbers));
    const Gap gap = gap_of(held, result);
    validation.back()["gap"] = {
        {"of", gap.of}, {"to_worst_tuned_on", number(gap.to_tuned)}, {"to_bound", number(gap.to_bound)}};
    const std::optional<bool> keeps = keeps_bounds(held, result);
    validation.back()["keeps_bounds"] = keeps ? nlohmann::json(*keeps) : nlohmann::json(nullptr);
    if (held.numbers.measured) validation.back()["keeps_max_kl"] = held.numbers.measured->kl <= result.bounds.max_kl;
  }
  nlohmann::json json = traces.front();
  json.update({{"traces", traces},
               {"cost_unit", result.calibrated ? "ms per token" : "MB per token"},
               {"full_cost", number(result.full_cost)},
               {"bounds",
                {{"max_output_error", number(result.bounds.max_output_error)},
                 {"max_lost_mass", number(result.bounds.max_lost_mass)},
                 {"max_kl", result.bounds.max_kl},
                 {"min_agreement", number(result.bounds.min_agreement)},
                 {"max_ms", number(result.bounds.max_ms)}}},
               {"estimate", result.prediction.estimate},
               {"estimate_evidence", result.prediction.in_words()},
               {"chosen", to_json(result.best())},
               {"reason", result.reason},
               {"points", points},
               {"validation", validation}});
  return json;
}

std::string to_table(const ReplayResult& result, const TraceInfo& info) {
  std::string text = trace_line(info) + result.settings.summary() + "\n\n";
  text += " layer recovered   oracle  normal.  overlap  jaccard  err mean  err p95  stride  positions   MB/step\n";
  for (size_t i = 0; i < result.layers.size(); ++i) {
    text += summary_row(fmt::format("{}", result.layers[i].layer), result.per_layer[i]);
  }
  text += summary_row("total", result.total);
  const ReplaySummary& total = result.total;
  if (result.from_maps) {
    text += fmt::format(
        "\nfrom maps alone: the recovered mass lies between {:.4f} and {:.4f}; the table has the lower bound, and an\n"
        "upper one of the oracle's.\n",
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

std::string to_table(const TuneResult& result) {
  const bool several = result.traces.size() > 1;
  std::string text;
  for (const TunedTrace& trace : result.traces) text += trace_line(trace.info);
  text += fmt::format("full attention: {:.3f} {} per token (predicted{}). Pareto front of {} settings{}:\n\n",
                      result.full_cost, result.calibrated ? "ms" : "MB", several ? ", mean" : "", result.points.size(),
                      several ? " (times are means over the traces, everything else is the worst trace's)" : "");
  bool any_measured = false;
  for (const TunePoint& point : result.points) any_measured = any_measured || point.measured;
  text += fmt::format(
      "       S         K  schedule     {:>9} speed-up     lost estimate  KL pred  stride positions  bounds{}\n",
      result.calibrated ? "ms/token" : "MB/token", any_measured ? kMeasuredTitle : "");
  for (size_t i = 0; i < result.points.size(); ++i) {
    const TunePoint& point = result.points[i];
    if (point.on_front || point.measured || i == result.chosen) text += tune_row(point, i == result.chosen);
  }
  text += fmt::format("\nestimate: {} ({}); KL pred: from it; what stands under KL, top-1 and ms meas. was measured\n",
                      result.prediction.estimate, find_estimate(result.prediction.estimate)->description);
  text += fmt::format("\n* {}\n{}\n", name_of(result.best()), result.reason);
  text += schedule_lines(result.best().settings);
  if (!result.has_values)
    text += fmt::format("{} no values: output errors are unknown, and lost mass alone ranks settings wrongly.\n",
                        several ? "A trace has" : "The trace has");
  if (const std::string warning = time_warning(result); !warning.empty()) text += warning + "\n";
  if (several || !result.held_out.empty()) text += traces_table(result);
  for (const std::string& line : validation_in_words(result)) text += line + "\n";
  return text;
}

}  // namespace reattend
