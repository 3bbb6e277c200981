// Units of two bfloat16 for prompt attention: products of pairs, summed in float (AVX512-BF16).
#pragma once
#include "kernels/cpu/simd/avx512.h"

namespace reattend::cpu::avx512 {
namespace {

struct BFloatPairs {
  static constexpr int kPair = 2;
  static REATTEND_INLINE __m512bh bits_of(Vec x) { return (__m512bh)_mm512_castps_si512(x.v); }

  static REATTEND_INLINE Vec multiply_add(Vec a, Vec b, Vec sum) {
    return {_mm512_dpbf16_ps(sum.v, bits_of(a), bits_of(b))};
  }
  static REATTEND_INLINE Vec in_order(const Vec (&x)[2]) {
    return {_mm512_castsi512_ps((__m512i)_mm512_cvtne2ps_pbh(x[1].v, x[0].v))};
  }
  static REATTEND_INLINE Vec side_by_side(const Vec (&x)[2]) {
    const auto widened = [](Vec v) { return _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(v.v)); };
    return {_mm512_castsi512_ps(_mm512_or_si512(widened(x[0]), _mm512_slli_epi32(widened(x[1]), 16)))};
  }
  /// e^(x - top) but for 7.5e-5 of it, a fifty-second of what rounding to bfloat16 may cost: 2^t, of t's fraction by
  /// the minimax polynomial of degree 3.
  static REATTEND_INLINE Vec weight(Vec x, float top) {
    constexpr float kLog2E = 1.44269504F;
    const __m512 t = _mm512_fmadd_ps(x.v, _mm512_set1_ps(kLog2E), _mm512_set1_ps(-top * kLog2E));
    const __m512 r = _mm512_reduce_ps(t, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);  // t - floor(t)
    __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(0.07802452F), r, _mm512_set1_ps(0.22606716F));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.69583354F));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.99992522F));
    return {_mm512_scalef_ps(p, t)};
  }
  static REATTEND_INLINE Vec add_to(Vec total, Vec units) {
    return multiply_add(units, {_mm512_castsi512_ps(_mm512_set1_epi16(0x3f80))}, total);
  }
};

}  // namespace
}  // namespace reattend::cpu::avx512
