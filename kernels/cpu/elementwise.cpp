// Elementwise operations of one token, by the table in use.
#include "kernels/cpu/ops.h"
#include "kernels/cpu/table.h"

namespace reattend {

void Cpu::rms_norm(const float* x, const float* w, int64_t n, float eps, float* y) {
  cpu::table().rms_norm(x, w, n, eps, y);
}

void Cpu::swiglu(const float* gate, const float* up, int64_t n, float* y) {
  cpu::table().swiglu(gate, up, n, y);
}

void Cpu::geglu(const float* gate, const float* up, int64_t n, float* y) {
  cpu::table().geglu(gate, up, n, y);
}

void Cpu::add(float* x, const float* y, int64_t n) {
  cpu::table().add(x, y, n);
}

void Cpu::store_kv(const float* x, int32_t d_head, KvType type, void* row) {
  cpu::table().store_row(x, d_head, type, row);
}

void Cpu::load_kv(const void* row, int32_t d_head, KvType type, float* out) {
  cpu::table().load_row(row, d_head, type, out);
}

}  // namespace reattend
