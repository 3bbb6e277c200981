// Takes each head's values out of its layer's replay.
#include "viz/session/head_grid.h"

#include <algorithm>
#include <cmath>

#include "base/statistics.h"

namespace reattend::viz {
namespace {

constexpr float kUnknown = std::numeric_limits<float>::quiet_NaN();

/// [T][n_kv_head] of what is measured, empty where the replay does not have it.
std::vector<float> values_of(const LayerReplay& layer, HeadMeasure measure, int32_t group) {
  std::vector<float> out;
  const auto of = [&](const auto& array, const auto& value) {
    for (const auto x : array) out.push_back(value(static_cast<float>(x)));
  };
  switch (measure) {
    case HeadMeasure::lost_mass:
      of(layer.recovered, [](float x) { return 1 - x; });
      break;
    case HeadMeasure::lost_overlap:
      of(layer.overlap, [](float x) { return 1 - x; });
      break;
    case HeadMeasure::output_error:
      return mean_over_groups(layer.output_error, group);
    case HeadMeasure::choosing:
      of(layer.full, [](float x) { return x; });
      break;
  }
  return out;
}

HeadStory story_of(const std::vector<float>& values, int32_t layer, int32_t kv_head, const TraceInfo& info) {
  HeadStory out = {.layer = layer, .kv_head = kv_head, .mean = kUnknown, .p95 = kUnknown, .largest = {}};
  out.largest.assign(HeadGrid::kStretches, kUnknown);
  if (values.empty()) return out;
  Mean mean;
  std::vector<float> known;
  for (int32_t s = 0; s < info.n_step; ++s) {
    const float value = values[static_cast<size_t>(s) * static_cast<size_t>(info.n_kv_head) + kv_head];
    if (std::isnan(value)) continue;
    mean.add(value);
    known.push_back(value);
    float& most = out.largest[static_cast<size_t>(int64_t{s} * HeadGrid::kStretches / info.n_step)];
    most = std::isnan(most) ? value : std::max(most, value);
  }
  out.mean = mean.value(), out.p95 = percentile(known, 0.95);
  return out;
}

}  // namespace

void HeadGrid::update(const TraceInfo& info, const std::vector<std::shared_ptr<const LayerReplay>>& layers,
                      HeadMeasure measure) {
  const size_t n_head = static_cast<size_t>(info.n_layer) * static_cast<size_t>(info.n_kv_head);
  const bool anew = heads_.size() != n_head || of_.size() != layers.size() || measure != measure_;
  if (anew) heads_.assign(n_head, {}), of_.assign(layers.size(), nullptr), measure_ = measure, ++version_;
  for (size_t l = 0; l < layers.size(); ++l) {
    if (!anew && of_[l] == layers[l]) continue;
    ++version_;
    of_[l] = layers[l];
    const std::vector<float> values =
        of_[l] ? values_of(*of_[l], measure, info.n_head / info.n_kv_head) : std::vector<float>();
    for (int32_t g = 0; g < info.n_kv_head; ++g) {
      heads_[l * static_cast<size_t>(info.n_kv_head) + g] = story_of(values, static_cast<int32_t>(l), g, info);
    }
  }
}

double HeadGrid::largest_mean() const {
  double most = kUnknown;
  for (const HeadStory& head : heads_) most = std::fmax(most, head.mean);
  return most;
}

}  // namespace reattend::viz
