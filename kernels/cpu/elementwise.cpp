// Elementwise operations of one token, by the table in use.
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

void store_kv(const float* x, int32_t d_head, KvType type, void* row) {
  table().store_row(x, d_head, type, row);
}

void load_kv(const void* row, int32_t d_head, KvType type, float* out) {
  table().load_row(row, d_head, type, out);
}

}  // namespace reattend::cpu
