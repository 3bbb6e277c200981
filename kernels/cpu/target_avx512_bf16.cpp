// Prompt attention by bf16 products, for avx512 where the machine has AVX512-BF16.
#include <type_traits>

#include "kernels/cpu/simd/avx512.h"
#include "kernels/cpu/simd/bf16_pairs.h"
#include "kernels/cpu/table.h"

#define REATTEND_TARGET avx512
#include "kernels/cpu/body/math.h"
// In this order: each uses the ones before.
#include "kernels/cpu/body/kv.h"
// Operations.
#include "kernels/cpu/body/elementwise.h"
// Attention.
#include "kernels/cpu/body/prompt.h"

namespace reattend::cpu {
const PromptKernel& avx512_bf16_prompt() {
  return avx512::kPrompt<avx512::BFloatPairs>;
}
}  // namespace reattend::cpu
