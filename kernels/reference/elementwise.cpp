// Norm, activation function, residual and the cache's roundings.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "base/half.h"
#include "kernels/reference/reference.h"

namespace reattend {

void Reference::rms_norm(const double* x, const double* w, int64_t n, double eps, double* y) {
  double squares = 0;
  for (int64_t i = 0; i < n; ++i) squares += x[i] * x[i];
  const double scale = 1 / std::sqrt(squares / static_cast<double>(n) + eps);
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] * scale * w[i];
}

void Reference::swiglu(const double* gate, const double* up, int64_t n, double* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
}

void Reference::geglu(const double* gate, const double* up, int64_t n, double* y) {
  const double root = std::sqrt(2 / std::numbers::pi);
  for (int64_t i = 0; i < n; ++i) {
    const double g = gate[i];
    y[i] = g / 2 * (1 + std::tanh(root * (g + 0.044715 * g * g * g))) * up[i];
  }
}

void Reference::add(double* x, const double* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] += y[i];
}

void Reference::store_kv(const double* x, int32_t d_head, KvType type, void* row) {
  auto* const out = static_cast<std::byte*>(row);
  const auto n = static_cast<size_t>(d_head);
  if (type == KvType::q8) {
    for (size_t block = 0; block < n; block += kKvScaleCols) {
      const size_t end = std::min(n, block + kKvScaleCols);
      float highest = 0;
      for (size_t i = block; i < end; ++i) highest = std::max(highest, std::fabs(static_cast<float>(x[i])));
      const Half scale = to_half(highest / 127.0F);
      const float inverse = to_float(scale) > 0 ? 1.0F / to_float(scale) : 0.0F;
      for (size_t i = block; i < end; ++i) {
        const float quant = std::clamp(static_cast<float>(x[i]) * inverse, -127.0F, 127.0F);
        out[i] = static_cast<std::byte>(static_cast<int8_t>(std::nearbyint(quant)));
      }
      std::memcpy(out + n + block / kKvScaleCols * sizeof scale, &scale, sizeof scale);
    }
    return;
  }
  for (size_t i = 0; i < n; ++i) {
    const auto value = static_cast<float>(x[i]);
    const Half half = to_half(value);
    const BFloat16 brain = to_bfloat16(value);
    if (type == KvType::f32) std::memcpy(out + i * sizeof value, &value, sizeof value);
    if (type == KvType::f16) std::memcpy(out + i * sizeof half, &half, sizeof half);
    if (type == KvType::bf16) std::memcpy(out + i * sizeof brain, &brain, sizeof brain);
  }
}

void Reference::load_kv(const void* row, int32_t d_head, KvType type, double* out) {
  const auto* const from = static_cast<const std::byte*>(row);
  const auto n = static_cast<size_t>(d_head);
  const auto number = [&]<class T>(T, size_t at) {
    T value;
    std::memcpy(&value, from + at, sizeof value);
    return value;
  };
  for (size_t i = 0; i < n; ++i) {
    switch (type) {
      case KvType::f32:
        out[i] = double{number(0.0F, i * 4)};
        break;
      case KvType::f16:
        out[i] = double{to_float(number(Half{}, i * 2))};
        break;
      case KvType::bf16:
        out[i] = double{to_float(number(BFloat16{}, i * 2))};
        break;
      case KvType::q8:
        out[i] = double{to_float(number(Half{}, n + i / kKvScaleCols * 2))} * number(int8_t{}, i);
        break;
    }
  }
}

}  // namespace reattend
