// The kernels for one instruction set: scalar.
#include <type_traits>

#include "kernels/cpu/simd/scalar.h"
#include "kernels/cpu/table.h"

#define REATTEND_TARGET scalar
#define REATTEND_NO_UNROLL  // lanes are loops here; unrolled, this file takes 19 s to compile, not 6
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
const KernelTable& scalar_table() {
  return scalar::kTable;
}
}  // namespace reattend::cpu
