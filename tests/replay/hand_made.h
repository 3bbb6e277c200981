// Recorded runs made by hand: random queries, keys and values in memory, of any shape.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <random>

#include "base/half.h"
#include "replay/source.h"

namespace reattend {

struct HandMadeShape {
  int32_t n_layer = 2, n_head = 4, n_kv_head = 2, d_head = 8, n_prompt = 40, n_step = 24;
  KvType kv_type = KvType::f32;
  RopeLayout layout = RopeLayout::pairs;
  bool values = true;
};

/// Queries drift slowly and keys are peaked, so that attention has something to recycle.
class HandMade final : public ReplaySource {
 public:
  HandMade(const HandMadeShape& shape, unsigned seed) {
    info_.path = "hand-made";
    info_.n_layer = shape.n_layer, info_.n_head = shape.n_head, info_.n_kv_head = shape.n_kv_head;
    info_.d_head = shape.d_head, info_.n_prompt = shape.n_prompt, info_.n_step = shape.n_step;
    info_.kv_type = shape.kv_type, info_.has_values = shape.values;
    info_.rope = {.layout = shape.layout, .base = 10000, .d_head = shape.d_head, .factors = {}};
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (int32_t l = 0; l < shape.n_layer; ++l) {
      LayerData layer;
      layer.kv_type = shape.kv_type, layer.n_kv_head = shape.n_kv_head, layer.n_head = shape.n_head;
      layer.d_head = shape.d_head, layer.n_position = shape.n_prompt + shape.n_step, layer.n_step = shape.n_step;
      const size_t n = static_cast<size_t>(shape.n_kv_head) * layer.n_position * shape.d_head;
      layer.keys = store(n, [&] { return 1.5F * normal(random); });
      if (shape.values) layer.values = store(n, [&] { return normal(random); });
      const size_t width = static_cast<size_t>(shape.n_head) * shape.d_head;
      std::vector<float> query(width);
      for (float& x : query) x = 1.5F * normal(random);
      for (int32_t t = 0; t <= shape.n_step; ++t) {
        for (float& x : query) x = 0.8F * x + 0.9F * normal(random);
        layer.queries.insert(layer.queries.end(), query.begin(), query.end());
      }
      layers_.push_back(std::move(layer));
    }
    std::mt19937 other(seed + 1);  // of its own, so that what is above does not depend on it
    for (int32_t l = 0; l < shape.n_layer; ++l) {
      std::vector<float>& queries = prompt_queries_.emplace_back();
      const std::vector<float>& step = layers_[static_cast<size_t>(l)].queries;
      const size_t width = static_cast<size_t>(shape.n_head) * shape.d_head;
      while (queries.size() < (static_cast<size_t>(shape.n_prompt) - 1) * width)
        queries.push_back(1.5F * normal(other));
      queries.insert(queries.end(), step.begin(), step.begin() + static_cast<std::ptrdiff_t>(width));
    }
    info_.has_prompt_row_sums = true;
  }

  const TraceInfo& info() const override { return info_; }
  LayerData layer(int32_t layer) override {
    ++n_read;
    return layers_.at(static_cast<size_t>(layer));
  }
  std::vector<float> prompt_queries(int32_t layer) override {
    const std::vector<float>& all = prompt_queries_.at(static_cast<size_t>(layer));
    const size_t n = std::min<size_t>(all.size(), size_t{64} * info_.n_head * info_.d_head);
    return {all.end() - static_cast<std::ptrdiff_t>(n), all.end()};
  }
  std::vector<float> prompt_row_sums(int32_t layer) override {
    const std::vector<double> sums = sum_rows(layer, 0);
    return {sums.begin(), sums.end()};
  }
  MapData map(int32_t, int32_t) override { return {}; }
  TraceInfo& info() { return info_; }

  /// [n_head][L]: attention rows of the prompt queries from position `first` on, summed.
  std::vector<double> sum_rows(int32_t layer, int32_t first) const {
    const int32_t n = info_.n_prompt, d = info_.d_head;
    std::vector<double> sums(static_cast<size_t>(info_.n_head) * n), row;
    for (int32_t h = 0; h < info_.n_head; ++h) {
      for (int32_t p = first; p < n; ++p) {
        row.assign(static_cast<size_t>(p) + 1, 0);
        double total = 0;
        for (int32_t j = 0; j <= p; ++j) {
          double dot = 0;
          for (int32_t c = 0; c < d; ++c) {
            const size_t at = (static_cast<size_t>(p) * info_.n_head + h) * d + c;
            dot +=
                prompt_queries_[static_cast<size_t>(layer)][at] * this->at(data(layer).keys, h / info_.group(), j, c);
          }
          total += row[j] = std::exp(dot / std::sqrt(d));
        }
        for (int32_t j = 0; j <= p; ++j) sums[static_cast<size_t>(h) * n + j] += row[j] / total;
      }
    }
    return sums;
  }
  const LayerData& data(int32_t layer) const { return layers_.at(static_cast<size_t>(layer)); }
  LayerData& data(int32_t layer) { return layers_.at(static_cast<size_t>(layer)); }

  /// Element c of a key or value row, as the cache holds it.
  double at(const std::vector<std::byte>& rows, int32_t kv_head, int32_t position, int32_t c) const {
    const LayerData& any = layers_.front();
    const size_t i = (static_cast<size_t>(kv_head) * any.n_position + position) * any.d_head + c;
    if (any.kv_type == KvType::f32) {
      float x;
      std::memcpy(&x, rows.data() + i * sizeof x, sizeof x);
      return x;
    }
    uint16_t bits;
    std::memcpy(&bits, rows.data() + i * sizeof bits, sizeof bits);
    return to_float(static_cast<Half>(bits));
  }

  int n_read = 0;  ///< how often a layer was asked for

 private:
  template <class Next>
  std::vector<std::byte> store(size_t n, const Next& next) const {
    std::vector<std::byte> bytes(n * static_cast<size_t>(row_bytes(info_.kv_type, 1)));
    for (size_t i = 0; i < n; ++i) {
      const float x = next();
      if (info_.kv_type == KvType::f32) {
        std::memcpy(bytes.data() + i * sizeof x, &x, sizeof x);
      } else {
        const auto bits = static_cast<uint16_t>(to_half(x));
        std::memcpy(bytes.data() + i * sizeof bits, &bits, sizeof bits);
      }
    }
    return bytes;
  }

  TraceInfo info_;
  std::vector<LayerData> layers_;
  std::vector<std::vector<float>> prompt_queries_;  ///< [n_layer] of [L][n_head][d_head], the last one step 0's
};

}  // namespace reattend
