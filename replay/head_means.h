// A layer's replay as means over its heads, one number a step: what a map of layers and steps shows.
#pragma once
#include <vector>

#include "replay/replay.h"

namespace reattend {

/// Arrays are [T], nan where no head has a value.
struct HeadMeans {
  std::vector<float> decision, lost_mass, lost_overlap;
  std::vector<float> output_error;  ///< nan everywhere without output errors
};

HeadMeans head_means(const TraceInfo& info, const LayerReplay& replay);

}  // namespace reattend
