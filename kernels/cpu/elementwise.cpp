// Elementwise operations of one token, by the table in use.
#include <cstring>

#include "kernels/cpu/ops.h"
#include "kernels/cpu/table.h"

namespace reattend::cpu {

void rms_norm(const float* x, const float* w, int64_t n, float eps, float* y) {
  table().rms_norm(x, w, n, eps, y);
}

void swiglu(const float* gate, const float* up, int64_t n, float* y) {
  table().swiglu(gate, up, n, y);
}

void add(float* x, const float* y, int64_t n) {
  table().add(x, y, n);
}

void store_kv(const float* x, int64_t n, KvType type, void* out) {
  if (type == KvType::f32) {
    std::memcpy(out, x, static_cast<size_t>(n) * sizeof(float));
  } else {
    table().store_half(x, n, static_cast<uint16_t*>(out));
  }
}

void load_kv(const void* x, int64_t n, KvType type, float* out) {
  if (type == KvType::f32) {
    std::memcpy(out, x, static_cast<size_t>(n) * sizeof(float));
  } else {
    table().load_half(static_cast<const uint16_t*>(x), n, out);
  }
}

}  // namespace reattend::cpu
