// Takes each head's values out of its layer's replay; on the background thread, as step_figures.cpp.
#include "viz/session/head_grid.h"

#include <algorithm>
#include <cmath>

#include "base/statistics.h"

namespace reattend::viz {
namespace {

constexpr float kUnknown = std::numeric_limits<float>::quiet_NaN();

/// [T][n_kv_head] of what is measured, empty where the replay does not have it.
std::vector<float> values_of(const LayerReplay& layer, LayerMeasure measure, int32_t group) {
  std::vector<float> out;
  switch (measure) {
    case LayerMeasure::decision:
      return {layer.full.begin(), layer.full.end()};
    case LayerMeasure::output_error:
      return mean_over_groups(layer.output_error, group);
    case LayerMeasure::lost_mass:
    case LayerMeasure::lost_overlap:
      out = measure == LayerMeasure::lost_mass ? layer.recovered : layer.overlap;
      for (float& each : out) each = 1 - each;
  }
  return out;
}

HeadStory story_of(const std::vector<float>& values, int32_t layer, int32_t kv_head, const TraceInfo& info) {
  HeadStory out = {.layer = layer, .kv_head = kv_head, .mean = kUnknown, .p95 = kUnknown, .largest = {}};
  out.largest.assign(HeadStory::kStretches, kUnknown);
  if (values.empty()) return out;
  Mean mean;
  std::vector<float> known;
  for (int32_t s = 0; s < info.n_step; ++s) {
    const float value = values[static_cast<size_t>(s) * static_cast<size_t>(info.n_kv_head) + kv_head];
    if (std::isnan(value)) continue;
    mean.add(value);
    known.push_back(value);
    float& most = out.largest[static_cast<size_t>(int64_t{s} * HeadStory::kStretches / info.n_step)];
    most = std::isnan(most) ? value : std::max(most, value);
  }
  out.mean = mean.value(), out.p95 = percentile(known, 0.95);
  return out;
}

}  // namespace

HeadPage head_page(const AsyncAnswer& answer, const TraceInfo& info, const LayerMeasure& measure) {
  HeadPage page{.heads = {}, .largest_mean = kUnknown};
  for (int32_t l = 0; l < info.n_layer; ++l) {
    const auto& layer = answer.layers[static_cast<size_t>(l)];
    const std::vector<float> values = layer ? values_of(*layer, measure, info.group()) : std::vector<float>();
    for (int32_t g = 0; g < info.n_kv_head; ++g) {
      page.heads.push_back(story_of(values, l, g, info));
      page.largest_mean = std::fmax(page.largest_mean, page.heads.back().mean);
    }
  }
  return page;
}

}  // namespace reattend::viz
