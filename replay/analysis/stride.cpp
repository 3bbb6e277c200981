// Counts the refreshes among the decisions of a replay.
#include "replay/analysis/stride.h"

#include <algorithm>

#include "policies/settings_enums.h"

namespace reattend {

Refreshes refreshes_of(std::span<const uint8_t> full) {
  return {.n = static_cast<int64_t>(full.size()), .n_full = std::count(full.begin(), full.end(), uint8_t{1})};
}

Refreshes recorded_refreshes(const TraceInfo& info, const StepData& steps, int32_t layer) {
  Refreshes out;
  const auto n_kv = static_cast<size_t>(info.n_kv_head), width = static_cast<size_t>(info.n_layer) * n_kv;
  for (size_t at = static_cast<size_t>(layer) * n_kv; at + n_kv <= steps.full.size(); at += width) {
    out.add(refreshes_of(std::span(steps.full).subspan(at, n_kv)));
  }
  return out;
}

LayerStride query_strides(Replayer& replayer, int32_t layer, const Settings& base, std::span<const double> thresholds,
                          const Cancel& cancel) {
  LayerStride out{.layer = layer};
  for (size_t stage = 0; stage < kStages.size(); ++stage) {
    for (const double threshold : thresholds) {
      Settings settings = base;
      settings.let_decide("threshold");
      settings.set("similarity_query", std::string(kQueryStageNames[stage]));
      settings.set("threshold", threshold);
      const ReplayResult result =
          replayer.run({.settings = settings, .layers = {layer}, .output_error = false}, {}, cancel);
      out.runs.push_back({.stage = stage,
                          .threshold = threshold,
                          .refreshes = refreshes_of(result.layers[0].full),
                          .recovered = result.total.recovered,
                          .normalised = result.total.normalised});
    }
  }
  return out;
}

}  // namespace reattend
