// A recorded run whose attention rows and queries are chosen: what an analysis must find in it is known by hand.
#pragma once
#include <cmath>
#include <functional>
#include <memory>

#include "replay/replay.h"
#include "tests/replay/hand_made.h"

namespace reattend {

/// Keys are the unit vectors, so that channel j of a query alone decides how much position j gets: weights(layer, head,
/// t, j) up to a common factor, for L + T <= d_head positions. Position 0 is always at least 1e-6.
using Weights = std::function<double(int32_t layer, int32_t head, int32_t t, int32_t position)>;

inline std::shared_ptr<HandMade> chosen_rows(const HandMadeShape& shape, const Weights& weights) {
  auto run = std::make_shared<HandMade>(shape, 1U);
  const auto d = static_cast<size_t>(shape.d_head);
  for (int32_t l = 0; l < shape.n_layer; ++l) {
    LayerData& layer = run->data(l);
    std::vector<float> keys(layer.keys.size() / sizeof(float));
    for (size_t row = 0; row < keys.size() / d; ++row) keys[row * d + row % layer.n_position] = 1;
    std::memcpy(layer.keys.data(), keys.data(), layer.keys.size());
    for (int32_t t = 0; t <= shape.n_step; ++t) {
      for (int32_t h = 0; h < shape.n_head; ++h) {
        float* const query = layer.queries.data() + (static_cast<size_t>(t) * shape.n_head + h) * d;
        std::fill_n(query, d, 0.0F);
        for (int32_t j = 0; j < shape.n_prompt + t; ++j) {
          const double weight = std::max(1e-6, weights(l, h, t, j));
          query[j] = static_cast<float>(std::log(weight) * std::sqrt(shape.d_head));
        }
      }
    }
  }
  return run;
}

}  // namespace reattend
