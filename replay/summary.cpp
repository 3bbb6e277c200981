// Sums up the per-step arrays in one pass; values that a policy does not have (NaN) count nowhere.
#include "replay/summary.h"

#include <algorithm>
#include <limits>

#include "base/statistics.h"

namespace reattend {

CountedWork work_of(const TraceInfo& info, std::span<const LayerReplay> layers) {
  CountedWork work;
  for (const LayerReplay& layer : layers) {
    CountedWork of_step = layer.work;
    work += of_step /= std::max(1, info.n_step);
  }
  return work;
}

void predict_times(const TraceInfo& info, std::span<const LayerReplay> layers, ReplaySummary& total) {
  if (static_cast<int64_t>(layers.size()) != info.n_acting()) return;
  const CountedWork work = work_of(info, layers);
  total.ms_per_token = predict_ms(info, work);
  total.assumed_rates = reattend::assumed_rates(info, work);
  total.ms_per_token_full = predict_ms(info, full_work(info));
}

ReplaySummary summarize(const TraceInfo& info, std::span<const LayerReplay> layers) {
  Mean recovered, upper, oracle, normalised, overlap, jaccard, error, positions;
  int64_t n_full = 0, n_decision = 0;
  const CountedWork work = work_of(info, layers);
  std::vector<float> errors;
  for (const LayerReplay& layer : layers) {
    for (size_t i = 0; i < layer.full.size(); ++i) {
      recovered.add(layer.recovered[i]), oracle.add(layer.oracle[i]);
      if (!layer.recovered_upper.empty()) upper.add(layer.recovered_upper[i]);
      normalised.add(static_cast<double>(layer.recovered[i]) / layer.oracle[i]);
      overlap.add(layer.overlap[i]), jaccard.add(layer.jaccard[i]), positions.add(layer.positions[i]);
      n_full += layer.full[i], ++n_decision;
    }
    for (const float e : layer.output_error) error.add(e);
    errors.insert(errors.end(), layer.output_error.begin(), layer.output_error.end());
  }
  ReplaySummary out;
  out.recovered = recovered.value(), out.oracle = oracle.value(), out.normalised = normalised.value();
  out.recovered_upper = upper.value();
  out.lost = 1 - out.recovered, out.overlap = overlap.value(), out.jaccard = jaccard.value();
  out.output_error_mean = error.value(), out.output_error_p95 = percentile(errors, 0.95);
  out.effective_stride = n_full > 0 ? static_cast<double>(n_decision) / static_cast<double>(n_full)
                                    : std::numeric_limits<double>::infinity();
  out.positions = positions.value();
  out.bytes_attend = attend_bytes(info, work), out.bytes_select = select_bytes(info, work);
  if (static_cast<int64_t>(layers.size()) == info.n_acting()) out.bytes_attend += window_bytes(info);
  predict_times(info, layers, out);
  return out;
}

}  // namespace reattend
