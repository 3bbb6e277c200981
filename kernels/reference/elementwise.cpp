// Norm, activation function, residual and the cache's roundings.
#include <cmath>

#include "base/half.h"
#include "kernels/reference/reference.h"

namespace reattend::reference {

void rms_norm(const double* x, const double* w, int64_t n, double eps, double* y) {
  double squares = 0;
  for (int64_t i = 0; i < n; ++i) squares += x[i] * x[i];
  const double scale = 1 / std::sqrt(squares / static_cast<double>(n) + eps);
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] * scale * w[i];
}

void swiglu(const double* gate, const double* up, int64_t n, double* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
}

void add(double* x, const double* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] += y[i];
}

void store_kv(const double* x, int64_t n, KvType type, void* out) {
  for (int64_t i = 0; i < n; ++i) {
    const auto value = static_cast<float>(x[i]);
    if (type == KvType::f32) {
      static_cast<float*>(out)[i] = value;
    } else {
      static_cast<Half*>(out)[i] = to_half(value);
    }
  }
}

void load_kv(const void* x, int64_t n, KvType type, double* out) {
  for (int64_t i = 0; i < n; ++i) {
    const float value =
        type == KvType::f32 ? static_cast<const float*>(x)[i] : to_float(static_cast<const Half*>(x)[i]);
    out[i] = double{value};
  }
}

}  // namespace reattend::reference
