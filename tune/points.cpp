// Plain functions over points and bounds.
#include "tune/points.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "policies/layer_schedule.h"
#include "replay/cost/cost.h"

namespace reattend {
namespace {

/// nan if any is: what one trace does not give is not known of all.
double worst_of(std::span<const PointNumbers> traces,  // [n_trace]
                double PointNumbers::*field, bool highest = true) {
  double out = traces.front().*field;
  for (const PointNumbers& each : traces) {
    if (std::isnan(out) || std::isnan(each.*field)) return std::nan("");
    out = highest ? std::max(out, each.*field) : std::min(out, each.*field);
  }
  return out;
}

double mean_of(std::span<const PointNumbers> traces, double PointNumbers::*field) {  // [n_trace]
  double sum = 0;
  for (const PointNumbers& each : traces) sum += each.*field;
  return sum / static_cast<double>(traces.size());
}

std::vector<LayerNumbers> layers_of(std::span<const PointNumbers> traces) {  // [n_trace]
  std::vector<LayerNumbers> out(traces.front().layers.size());
  const auto n = static_cast<double>(traces.size());
  for (const PointNumbers& each : traces) {
    for (size_t i = 0; i < out.size(); ++i) {
      out[i].cost += each.layers[i].cost / n, out[i].error += each.layers[i].error / n;
    }
  }
  return out;
}

std::optional<Score> measured_of(std::span<const PointNumbers> traces) {  // [n_trace]
  const auto n = static_cast<double>(traces.size());
  for (const PointNumbers& each : traces) {
    if (!each.measured) return {};
  }
  const auto worse = [](double a, double b, bool higher) {
    return std::isnan(a) || std::isnan(b) ? Score::kNone : higher ? std::max(a, b) : std::min(a, b);
  };
  Score out = *traces.front().measured;
  for (const auto mean : {&Score::nll, &Score::positions, &Score::full, &Score::ms, &Score::full_ms}) {
    out.*mean = 0;
    for (const PointNumbers& each : traces) out.*mean += *each.measured.*mean / n;
  }
  for (const PointNumbers& each : traces) {
    for (const auto field : {&Score::kl, &Score::kl_p95, &Score::kl_max}) {
      out.*field = worse(out.*field, *each.measured.*field, true);
    }
    for (const auto field : {&Score::agreement, &Score::recovered, &Score::oracle}) {
      out.*field = worse(out.*field, *each.measured.*field, false);
    }
  }
  return out;
}

/// The largest; nan if one is not known and none of the others is above 1.
double largest(std::initializer_list<double> ratios) {
  double most = 0;
  bool unknown = false;
  for (const double each : ratios) unknown = unknown || std::isnan(each), most = std::fmax(most, each);
  return unknown && most <= 1 ? std::nan("") : most;
}

/// nan where there is nothing to divide by.
double ratio(double a, double b) {
  return b > 0 ? a / b : std::nan("");
}

}  // namespace

std::string name_of(const TunePoint& point) {
  return point.settings.summary() + (point.schedule > 0 ? fmt::format(" #{}", point.schedule) : std::string());
}

PointNumbers over_traces(std::span<const PointNumbers> traces, double full_cost) {  // [n_trace]
  if (traces.size() == 1) return traces.front();
  PointNumbers out;
  out.cost = mean_of(traces, &PointNumbers::cost);
  out.speed_up = full_cost / out.cost;
  for (const auto field : {&PointNumbers::output_error_mean, &PointNumbers::output_error_p95, &PointNumbers::lost,
                           &PointNumbers::estimate, &PointNumbers::predicted_kl}) {
    out.*field = worst_of(traces, field);
  }
  for (const auto field : {&PointNumbers::recovered, &PointNumbers::normalised}) {
    out.*field = worst_of(traces, field, false);
  }
  double refreshes = 0;
  for (const PointNumbers& each : traces) refreshes += 1 / each.effective_stride;
  out.effective_stride = static_cast<double>(traces.size()) / refreshes;
  out.positions = mean_of(traces, &PointNumbers::positions);
  out.layers = layers_of(traces);
  out.measured = measured_of(traces);
  return out;
}

bool dominates(const PointNumbers& a, const PointNumbers& b) {
  const bool no_worse = a.cost <= b.cost && a.estimate <= b.estimate && a.lost <= b.lost;
  return no_worse && (a.cost < b.cost || a.estimate < b.estimate || a.lost < b.lost);
}

double excess(const PointNumbers& numbers, const TuneResult& result) {
  const TuneBounds& bounds = result.bounds;
  return largest({result.prediction.curve.exists() ? numbers.predicted_kl / bounds.max_kl : 0,
                  bounds.max_output_error ? numbers.output_error_p95 / *bounds.max_output_error : 0,
                  bounds.max_lost_mass ? numbers.lost / *bounds.max_lost_mass : 0,
                  bounds.max_ms && result.calibrated ? numbers.cost / *bounds.max_ms : 0});
}

double measured_excess(const PointNumbers& numbers, const TuneResult& result) {
  const TuneBounds& bounds = result.bounds;
  const Score& measured = *numbers.measured;
  return largest({measured.kl / bounds.max_kl, bounds.min_agreement ? *bounds.min_agreement / measured.agreement : 0,
                  bounds.max_ms ? (result.other_machine ? numbers.cost : measured.ms) / *bounds.max_ms : 0});
}

bool passes(const TunePoint& point, const TuneResult& result) {
  return hardest_measured(point, result).most <= 1;
}

Hardest hardest(const TunePoint& point, const std::function<double(const PointNumbers&)>& of) {
  Hardest out;
  for (size_t i = 0; i < point.traces.size(); ++i) {
    const double each = of(point.traces[i]);
    if (i == 0 || each > out.most || std::isnan(each)) out = {i, each};
  }
  return out;
}

Hardest hardest_predicted(const TunePoint& point, const TuneResult& result) {
  return hardest(point, [&](const PointNumbers& each) { return excess(each, result); });
}

Hardest hardest_measured(const TunePoint& point, const TuneResult& result) {
  return hardest(point, [&](const PointNumbers& each) { return measured_excess(each, result); });
}

std::string bounds_in_words(const TuneResult& result, bool measured) {
  const TuneBounds& bounds = result.bounds;
  std::vector<std::string> parts;
  if (measured || result.prediction.curve.exists()) parts.push_back(fmt::format("mean KL <= {}", bounds.max_kl));
  if (measured && bounds.min_agreement) parts.push_back(fmt::format("top-1 agreement >= {}", *bounds.min_agreement));
  if (!measured && bounds.max_output_error) {
    parts.push_back(fmt::format("95th percentile of output error <= {}", *bounds.max_output_error));
  }
  if (!measured && bounds.max_lost_mass) parts.push_back(fmt::format("lost mass <= {}", *bounds.max_lost_mass));
  if (bounds.max_ms && (measured || result.calibrated)) {
    const bool predicted = measured && result.other_machine;
    parts.push_back(fmt::format("ms/token <= {}{}", *bounds.max_ms, predicted ? " as predicted" : ""));
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::vector<const TraceInfo*> infos_of(std::span<const TunedTrace> traces) {  // [n_trace]
  std::vector<const TraceInfo*> infos;
  for (const TunedTrace& each : traces) infos.push_back(&each.info);
  return infos;
}

void merge(std::vector<TunePoint>& points, std::vector<TunePoint> newer) {
  for (TunePoint& point : newer) {
    const auto same = [&](const TunePoint& other) { return other.settings == point.settings; };
    const auto old = std::find_if(points.begin(), points.end(), same);
    old != points.end() ? * old = std::move(point) : points.emplace_back(std::move(point));
  }
}

void finish_points(TuneResult& result) {
  std::vector<TunePoint>& points = result.points;
  std::stable_sort(points.begin(), points.end(),
                   [](const TunePoint& a, const TunePoint& b) { return a.cost < b.cost; });
  int n_schedule = 0;
  for (TunePoint& point : points) {
    if (LayerSchedule(point.settings).by_layer()) point.schedule = ++n_schedule;
    point.within_bounds = point.whole && hardest_predicted(point, result).most <= 1;
    const auto beats = [&](const TunePoint& other) { return other.whole && dominates(other, point); };
    point.on_front = point.whole && std::none_of(points.begin(), points.end(), beats);
  }
}

TunePoint full_point(const TuneResult& result) {
  TunePoint point;
  for (const TunedTrace& trace : result.traces) {
    const TraceInfo& info = trace.info;
    point.traces.push_back({.cost = trace.full_cost,
                            .speed_up = 1,
                            .recovered = 1,
                            .normalised = 1,
                            .effective_stride = 1,
                            .positions = full_work(info).run / info.n_layer / info.n_kv_head});
  }
  static_cast<PointNumbers&>(point) = over_traces(point.traces, result.full_cost);
  point.settings = Settings();
  point.whole = point.within_bounds = point.on_front = true;
  return point;
}

std::vector<std::string> trace_names(const TuneResult& result) {
  std::vector<std::string> names;
  for (const TunedTrace& trace : result.traces) names.push_back(trace.info.path.filename().string());
  for (const HeldOutTrace& trace : result.held_out) names.push_back(trace.info.path.filename().string());
  if (std::set<std::string>(names.begin(), names.end()).size() == names.size()) return names;
  names.clear();
  for (const TunedTrace& trace : result.traces) names.push_back(trace.info.path.string());
  for (const HeldOutTrace& trace : result.held_out) names.push_back(trace.info.path.string());
  return names;
}

Gap gap_of(const HeldOutTrace& held, const TuneResult& result) {
  const PointNumbers& best = result.best();
  const double bound = result.bounds.max_kl;
  if (held.numbers.measured && best.measured) {
    const double kl = held.numbers.measured->kl;
    return {"measured KL", kl, ratio(kl, best.measured->kl), kl / bound};
  }
  const double kl = held.numbers.predicted_kl;
  if (!std::isnan(kl)) return {"predicted KL", kl, ratio(kl, best.predicted_kl), kl / bound};
  const double estimate = held.numbers.estimate;
  return {result.prediction.estimate, estimate, ratio(estimate, best.estimate), std::nan("")};
}

std::optional<bool> keeps_bounds(const HeldOutTrace& held, const TuneResult& result) {
  const double most = held.numbers.measured ? measured_excess(held.numbers, result) : excess(held.numbers, result);
  return std::isnan(most) ? std::nullopt : std::optional(most <= 1);
}

std::vector<std::string> validation_in_words(const TuneResult& result) {
  const std::vector<std::string> names = trace_names(result);
  std::vector<std::string> lines;
  for (size_t i = 0; i < result.held_out.size(); ++i) {
    const HeldOutTrace& held = result.held_out[i];
    const Gap gap = gap_of(held, result);
    const std::string tuned_on =
        result.traces.size() > 1 ? "the worst of those tuned on" : "that of the trace tuned on";
    std::string line = fmt::format("Held out: on {} {} is {:.4f}", names[result.traces.size() + i], gap.of, gap.there);
    line += std::isnan(gap.to_tuned) ? fmt::format(", its ratio to {} is unknown", tuned_on)
                                     : fmt::format(", {:.2f} times {}", gap.to_tuned, tuned_on);
    if (!std::isnan(gap.to_bound)) line += fmt::format(", {:.2f} times the bound", gap.to_bound);
    const std::optional<bool> keeps = keeps_bounds(held, result);
    if (keeps) {
      line += fmt::format(": {} the bounds{}.", *keeps ? "keeps" : "breaks",
                          held.numbers.measured ? "" : ", by prediction");
    } else {
      const bool values = held.info.has_values || !result.bounds.max_output_error;
      line += fmt::format(": whether it keeps the bounds is unknown, for the trace has no {}.",
                          values ? "calibration to predict its time by" : "values, which output errors come from");
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

std::string time_warning(const TuneResult& result) {
  const std::optional<Score>& measured = result.best().measured;
  if (!result.calibrated || result.other_machine || !measured || !(measured->full_ms > 0)) return {};
  const double ratio = result.full_cost / measured->full_ms;
  if (ratio > 1 / 1.25 && ratio < 1.25) return {};
  return fmt::format(
      "Full attention was predicted at {:.2f} ms per token and measured at {:.2f}: the calibration is another "
      "machine's, "
      "or a busy one's. Measured times hold; predicted ones only rank. `reattend calibrate` and --calibration give "
      "better ones.",
      result.full_cost, measured->full_ms);
}

void check_bounds(const TuneBounds& bounds) {
  const std::pair<const char*, std::optional<double>> options[] = {{"--max-output-error", bounds.max_output_error},
                                                                   {"--max-lost-mass", bounds.max_lost_mass},
                                                                   {"--max-kl", bounds.max_kl},
                                                                   {"--min-agreement", bounds.min_agreement},
                                                                   {"--max-ms", bounds.max_ms}};
  for (const auto& [option, value] : options) {
    if (!value || *value > 0) continue;  // false for nan
    fail_usage({.where = option, .expected = "a number above 0", .got = fmt::format("{}", *value), .remedy = {}});
  }
  if (bounds.min_agreement.value_or(1) > 1) {
    fail_usage({.where = "--min-agreement",
                .expected = "a share, at most 1",
                .got = fmt::format("{}", *bounds.min_agreement),
                .remedy = {}});
  }
}

}  // namespace reattend
