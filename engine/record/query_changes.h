// How a layer's queries change from step to step: the cosine of each step's mean query to the one before.
#pragma once
#include <vector>

#include "engine/backend/layer_view.h"

namespace reattend {

/// Holds each layer's last queries.
class QueryChanges {
 public:
  explicit QueryChanges(const ModelShape& shape);

  struct Cosines {
    float pre_rope, post_rope;  ///< nan where no step of the layer was seen before
  };
  /// Of the layer's newest queries to those of the call before, whose place they take.
  Cosines next(const LayerView& view);

 private:
  float change(std::vector<float>& before, std::span<const float> now) const;

  const ModelShape& shape_;
  std::vector<std::vector<float>> pre_rope_, post_rope_;  ///< [n_layer] of [n_head][d_head]
};

}  // namespace reattend
