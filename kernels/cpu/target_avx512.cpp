// The kernels for one instruction set: avx512.
#include <type_traits>

#include "kernels/cpu/simd/avx512.h"
#include "kernels/cpu/table.h"

#define REATTEND_TARGET avx512
#include "kernels/cpu/body/math.h"
// In this order: each uses the ones before.
#include "kernels/cpu/body/kv.h"
// Operations.
#include "kernels/cpu/body/elementwise.h"
#include "kernels/cpu/body/matmul.h"
// Attention.
#include "kernels/cpu/body/attend.h"
#include "kernels/cpu/body/prompt.h"
#include "kernels/cpu/body/rows.h"
#include "kernels/cpu/body/sketch.h"
// The table that names them all.
#include "kernels/cpu/body/table.h"

namespace reattend::cpu {
const KernelTable& avx512_table() {
  return avx512::kTable;
}
}  // namespace reattend::cpu
