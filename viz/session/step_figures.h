// Figures of the setting's replay over steps: of each step over all layers and KV heads, and of a range of steps.
#pragma once
#include <array>
#include <vector>

#include "replay/analysis/spread.h"
#include "replay/async.h"
#include "viz/session/from_answer.h"

namespace reattend::viz {

/// What a replay says of every step and head.
enum class StepMeasure : uint8_t { recovered, lost, normalised, overlap, output_error, positions };
inline constexpr size_t kStepMeasures = 6;
/// As tables and curves call them.
inline constexpr std::array<const char*, kStepMeasures> kStepMeasureNames = {
    "recovered mass", "lost mass", "normalised mass", "top-K overlap", "output error", "positions"};

/// A layer's values at some steps, of one KV head (of output errors: its query heads) or, negative, of all; none where
/// the replay has none.
std::vector<float> values_of(const LayerReplay& layer, StepMeasure measure, Steps steps, const TraceInfo& info,
                             int32_t kv_head);

/// Over all layers and KV heads, of each step; index t - 1, nan where nothing is known.
struct StepBands {
  std::vector<float> most_lost;  ///< largest 1 - recovered mass
  struct Band {
    std::vector<float> low, high;  ///< 10th and 90th percentile
  };
  Band recovered, overlap;
};
/// There is one question about them.
struct EveryStep {
  bool operator==(const EveryStep&) const = default;
};
StepBands step_bands(const AsyncAnswer& answer, const TraceInfo& info, const EveryStep&);

/// Spreads of the measures.
using RangeFigures = std::array<Spread, kStepMeasures>;
/// Steps, and the layer and KV head whose own figures are asked for.
struct RangeKey {
  Steps steps;
  int32_t layer = 0, kv_head = 0;
  bool operator==(const RangeKey&) const = default;
};
struct RangePage {
  RangeKey key;
  Settings settings;
  RangeFigures head;                 ///< of the key's layer and KV head
  std::vector<RangeFigures> layers;  ///< [n_layer] over all heads
  RangeFigures all;
};
RangePage range_page(const AsyncAnswer& answer, const TraceInfo& info, const RangeKey& key);

using StepBandsData = FromAnswer<EveryStep, StepBands, step_bands>;
using RangeData = FromAnswer<RangeKey, RangePage, range_page>;

}  // namespace reattend::viz
