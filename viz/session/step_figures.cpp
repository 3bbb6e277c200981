// Sorts what a replay found; on the background thread, for a trace of 2,000 steps and 30 layers is 180,000 values.
#include "viz/session/step_figures.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace reattend::viz {
namespace {

constexpr double kBandLow = 0.1, kBandHigh = 0.9;

void add_percentiles(std::vector<float>& values, StepBands::Band& band) {
  std::erase_if(values, [](float x) { return std::isnan(x); });
  band.low.push_back(static_cast<float>(percentile(values, kBandLow)));
  band.high.push_back(static_cast<float>(percentile(values, kBandHigh)));
}

}  // namespace

std::vector<float> values_of(const LayerReplay& layer, StepMeasure measure, Steps steps, const TraceInfo& info,
                             int32_t kv_head) {
  const bool errors = measure == StepMeasure::output_error;
  if (errors && layer.output_error.empty()) return {};
  const int32_t n = errors ? info.n_head : info.n_kv_head, each = errors ? info.group() : 1;
  const int32_t first = kv_head < 0 ? 0 : kv_head * each, end = kv_head < 0 ? n : first + each;
  std::vector<float> out;
  for (int32_t t = std::max(1, steps.first); t <= std::min(info.n_step, steps.last); ++t) {
    for (int32_t h = first; h < end; ++h) {
      const auto at = static_cast<size_t>(int64_t{t - 1} * n + h);
      switch (measure) {
        case StepMeasure::recovered:
          out.push_back(layer.recovered[at]);
          break;
        case StepMeasure::lost:
          out.push_back(1 - layer.recovered[at]);
          break;
        case StepMeasure::normalised:
          out.push_back(layer.recovered[at] / layer.oracle[at]);
          break;
        case StepMeasure::overlap:
          out.push_back(layer.overlap[at]);
          break;
        case StepMeasure::output_error:
          out.push_back(layer.output_error[at]);
          break;
        case StepMeasure::positions:
          out.push_back(static_cast<float>(layer.positions[at]));
          break;
      }
    }
  }
  return out;
}

StepBands step_bands(const AsyncAnswer& answer, const TraceInfo& info, const EveryStep& /*key*/) {
  StepBands out;
  for (int32_t t = 1; t <= info.n_step; ++t) {
    std::vector<float> recovered, overlap;
    for (const auto& layer : answer.layers) {
      for (int32_t g = 0; layer && g < info.n_kv_head; ++g) {
        const auto at = static_cast<size_t>(int64_t{t - 1} * info.n_kv_head + g);
        recovered.push_back(layer->recovered[at]);
        overlap.push_back(layer->overlap[at]);
      }
    }
    float most = std::nanf("");
    for (const float each : recovered) most = std::fmax(most, 1 - each);
    out.most_lost.push_back(most);
    add_percentiles(recovered, out.recovered);
    add_percentiles(overlap, out.overlap);
  }
  return out;
}

RangePage range_page(const AsyncAnswer& answer, const TraceInfo& info, const RangeKey& key) {
  RangePage page = {.key = key, .settings = answer.settings, .head = {}, .layers = {}, .all = {}};
  page.layers.resize(answer.layers.size());
  for (size_t m = 0; m < kStepMeasures; ++m) {
    const auto measure = static_cast<StepMeasure>(m);
    std::vector<float> all;
    for (size_t l = 0; l < answer.layers.size(); ++l) {
      if (!answer.layers[l]) continue;
      const LayerReplay& layer = *answer.layers[l];
      std::vector<float> own = values_of(layer, measure, key.steps, info, -1);
      all.insert(all.end(), own.begin(), own.end());
      page.layers[l][m] = spread(std::move(own));
      if (layer.layer == key.layer) page.head[m] = spread(values_of(layer, measure, key.steps, info, key.kv_head));
    }
    page.all[m] = spread(std::move(all));
  }
  return page;
}

}  // namespace reattend::viz
