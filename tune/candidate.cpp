// Sums metrics up over traces, and merges lists of candidates.
#include "tune/candidate.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "replay/cost/cost.h"
#include "tune/tune.h"

namespace reattend {
namespace {

/// nan if any is: what one trace does not give is not known of all.
double worst_of(std::span<const Metrics> traces,  // [n_trace]
                double Metrics::*field, bool highest = true) {
  double out = traces.front().*field;
  for (const Metrics& each : traces) {
    if (std::isnan(out) || std::isnan(each.*field)) return std::nan("");
    out = highest ? std::max(out, each.*field) : std::min(out, each.*field);
  }
  return out;
}

double mean_of(std::span<const Metrics> traces, double Metrics::*field) {  // [n_trace]
  double sum = 0;
  for (const Metrics& each : traces) sum += each.*field;
  return sum / static_cast<double>(traces.size());
}

std::vector<LayerNumbers> layers_of(std::span<const Metrics> traces) {  // [n_trace]
  std::vector<LayerNumbers> out(traces.front().layers.size());
  const auto n = static_cast<double>(traces.size());
  for (const Metrics& each : traces) {
    for (size_t i = 0; i < out.size(); ++i) {
      out[i].cost += each.layers[i].cost / n, out[i].error += each.layers[i].error / n;
    }
  }
  return out;
}

std::optional<Score> measured_of(std::span<const Metrics> traces) {  // [n_trace]
  const auto n = static_cast<double>(traces.size());
  for (const Metrics& each : traces) {
    if (!each.measured) return {};
  }
  const auto worse = [](double a, double b, bool higher) {
    return std::isnan(a) || std::isnan(b) ? Score::kNone : higher ? std::max(a, b) : std::min(a, b);
  };
  Score out = *traces.front().measured;
  for (const auto mean : {&Score::nll, &Score::positions, &Score::full, &Score::ms, &Score::full_ms}) {
    out.*mean = 0;
    for (const Metrics& each : traces) out.*mean += *each.measured.*mean / n;
  }
  for (const Metrics& each : traces) {
    for (const auto field : {&Score::kl, &Score::kl_p95, &Score::kl_max}) {
      out.*field = worse(out.*field, *each.measured.*field, true);
    }
    for (const auto field : {&Score::agreement, &Score::recovered, &Score::oracle}) {
      out.*field = worse(out.*field, *each.measured.*field, false);
    }
  }
  return out;
}

}  // namespace

std::string name_of(const Candidate& candidate) {
  return candidate.settings.summary() +
         (candidate.schedule > 0 ? fmt::format(" #{}", candidate.schedule) : std::string());
}

Metrics over_traces(std::span<const Metrics> traces, double full_cost) {  // [n_trace]
  if (traces.size() == 1) return traces.front();
  Metrics out;
  out.cost = mean_of(traces, &Metrics::cost);
  out.speed_up = full_cost / out.cost;
  for (const auto field : {&Metrics::output_error_mean, &Metrics::output_error_p95, &Metrics::lost, &Metrics::estimate,
                           &Metrics::predicted_kl}) {
    out.*field = worst_of(traces, field);
  }
  for (const auto field : {&Metrics::recovered, &Metrics::normalised}) {
    out.*field = worst_of(traces, field, false);
  }
  double refreshes = 0;
  for (const Metrics& each : traces) refreshes += 1 / each.effective_stride;
  out.effective_stride = static_cast<double>(traces.size()) / refreshes;
  out.positions = mean_of(traces, &Metrics::positions);
  out.layers = layers_of(traces);
  out.measured = measured_of(traces);
  return out;
}

void merge(std::vector<Candidate>& candidates, std::vector<Candidate> newer) {
  for (Candidate& candidate : newer) {
    const auto same = [&](const Candidate& other) { return other.settings == candidate.settings; };
    const auto old = std::find_if(candidates.begin(), candidates.end(), same);
    old != candidates.end() ? * old = std::move(candidate) : candidates.emplace_back(std::move(candidate));
  }
}

Candidate full_candidate(const TuneResult& result) {
  Candidate candidate;
  for (const TunedTrace& trace : result.traces) {
    const TraceInfo& info = trace.info;
    candidate.traces.push_back({.cost = trace.full_cost,
                                .speed_up = 1,
                                .recovered = 1,
                                .normalised = 1,
                                .effective_stride = 1,
                                .positions = full_work(info).run / info.n_acting() / info.n_kv_head});
  }
  static_cast<Metrics&>(candidate) = over_traces(candidate.traces, result.full_cost);
  candidate.settings = Settings();
  candidate.whole = candidate.within_bounds = candidate.on_front = true;
  return candidate;
}

std::vector<const TraceInfo*> infos_of(std::span<const TunedTrace> traces) {  // [n_trace]
  std::vector<const TraceInfo*> infos;
  for (const TunedTrace& each : traces) infos.push_back(&each.info);
  return infos;
}

}  // namespace reattend
