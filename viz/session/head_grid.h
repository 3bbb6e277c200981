// What each KV head of each layer loses under the setting, over all steps and in stretches of them.
#pragma once
#include <vector>

#include "viz/session/from_answer.h"

namespace reattend::viz {

/// A head's values over the steps. nan: not known.
struct HeadStory {
  int32_t layer = 0, kv_head = 0;
  double mean = 0, p95 = 0;    ///< over the steps that have a value
  std::vector<float> largest;  ///< [kStretches] of the steps' values in each of so many equal stretches of the trace
  static constexpr int32_t kStretches = 64;
};

struct HeadPage {
  std::vector<HeadStory> heads;  ///< [n_layer][n_kv_head]; those of a layer that is not known have nan everywhere
  double largest_mean = 0;       ///< nan where nothing is known
};
HeadPage head_page(const AsyncAnswer& answer, const TraceInfo& info, const LayerMeasure& measure);

using HeadGrid = FromAnswer<LayerMeasure, HeadPage, head_page>;

}  // namespace reattend::viz
