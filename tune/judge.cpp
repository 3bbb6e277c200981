// Makes a candidate's numbers of its replayed layers, for the sweep and for whoever looks at one setting.
#include "tune/judge.h"

#include <cmath>

#include "replay/cost/cost.h"
#include "replay/estimates.h"
#include "replay/summary.h"
#include "tune/tune.h"

namespace reattend {
namespace {

double cost(const TraceInfo& info, const CountedWork& work, CostUnit unit) {
  if (unit == CostUnit::megabytes) {
    return (attend_bytes(info, work) + window_bytes(info) + select_bytes(info, work)) * 1e-6;
  }
  return is_calibrated(info.calibration) ? predict_ms(info, work) : std::nan("");
}

}  // namespace

TunedTrace tuned_trace(const TraceInfo& info, const Prediction& prediction, CostUnit unit) {
  const double full = cost(info, full_work(info), unit);
  return {.info = info, .full_cost = full * (unit == CostUnit::ms ? prediction.correction.full_ms : 1)};
}

ReplayRequest request_to_judge(const Prediction& prediction, const Settings& settings, std::vector<int32_t> layers) {
  const bool losses = !find_estimate(prediction.estimate)->needs_values;
  return {.settings = settings, .layers = std::move(layers), .estimates = losses, .output_norm = !losses};
}

Metrics judge(const TunedTrace& trace, const Prediction& prediction, CostUnit unit,
              std::span<const LayerReplay> layers) {  // [those replayed]
  const TraceInfo& info = trace.info;
  const ReplaySummary summary = summarize(info, layers);
  const double share = static_cast<double>(layers.size()) / info.n_acting();
  const double correction = unit == CostUnit::ms ? prediction.correction.ms : 1;
  CountedWork work = work_of(info, layers);
  work /= share;
  Metrics out;
  out.cost = cost(info, work, unit) * correction;
  out.speed_up = trace.full_cost / out.cost;
  out.estimate = find_estimate(prediction.estimate)->value({info.n_step, layers});
  // Sums over some of the layers are good for an order, not for a KL.
  const bool whole = static_cast<int32_t>(layers.size()) == info.n_acting();
  out.predicted_kl = whole ? prediction.kl(out.estimate) : std::nan("");
  out.output_error_mean = info.has_values ? summary.output_error_mean : std::nan("");
  out.output_error_p95 = info.has_values ? summary.output_error_p95 : std::nan("");
  out.lost = summary.lost, out.recovered = summary.recovered, out.normalised = summary.normalised;
  out.effective_stride = summary.effective_stride, out.positions = summary.positions;
  for (const LayerReplay& each : layers) {
    const double alone = cost(info, work_of(info, {&each, 1}), unit) - cost(info, {}, unit);
    out.layers.push_back({alone * correction, layer_error(each, info.n_step)});
  }
  return out;
}

Metrics judge(const TuneResult& tuned, size_t trace, std::span<const LayerReplay> layers) {  // [those replayed]
  return judge(tuned.traces[trace], tuned.prediction, tuned.calibrated ? CostUnit::ms : CostUnit::megabytes, layers);
}

Metrics judge_again(Metrics metrics, const Correction& before, const TuneResult& now) {
  if (now.calibrated) {
    const double was = before.ms, is = now.prediction.correction.ms;
    metrics.cost = metrics.cost / was * is;
    for (LayerNumbers& each : metrics.layers) each.cost = each.cost / was * is;
  }
  metrics.speed_up = now.full_cost / metrics.cost;
  const auto n_acting = static_cast<size_t>(now.traces.front().info.n_acting());
  const bool whole = metrics.layers.empty() || metrics.layers.size() == n_acting;
  metrics.predicted_kl = whole ? now.prediction.kl(metrics.estimate) : std::nan("");
  return metrics;
}

}  // namespace reattend
