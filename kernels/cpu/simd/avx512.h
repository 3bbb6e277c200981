// Sixteen lanes in one AVX-512 register (F, BW, VL, DQ, VNNI).
#pragma once
#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#define REATTEND_INLINE inline __attribute__((always_inline))

namespace reattend::cpu::avx512 {
namespace {

struct Vec {
  __m512 v;
};
struct IVec {
  __m512i v;
};
/// 64 unsigned bytes: four columns of each of 16 rows, lane = row.
struct Bytes {
  __m512i v;
};

/// Tile sizes that keep all accumulators of an inner loop in 32 registers.
inline constexpr int kTokens = 8;      // of a quantised product
inline constexpr int kHeads = 4;       // query heads per pass over a piece
inline constexpr int kUnpackFrom = 9;  // query heads from which rows of q8 are unpacked once, not in each pass
inline constexpr int kGemmRows = 6;    // rows and
inline constexpr int kGemmVecs = 4;    // vectors of prompt attention's tiles

REATTEND_INLINE __mmask16 first_lanes(int n) {
  return static_cast<__mmask16>(_cvtu32_mask16((1U << n) - 1U));
}

REATTEND_INLINE Vec zero() {
  return {_mm512_setzero_ps()};
}
REATTEND_INLINE Vec set(float x) {
  return {_mm512_set1_ps(x)};
}
REATTEND_INLINE Vec load(const float* p) {
  return {_mm512_loadu_ps(p)};
}
REATTEND_INLINE Vec load_part(const float* p, int n) {
  return {_mm512_maskz_loadu_ps(first_lanes(n), p)};
}
REATTEND_INLINE void store(float* p, Vec x) {
  _mm512_storeu_ps(p, x.v);
}
REATTEND_INLINE void store_part(float* p, Vec x, int n) {
  _mm512_mask_storeu_ps(p, first_lanes(n), x.v);
}

/// binary16 and bfloat16 travel as raw bits.
REATTEND_INLINE Vec load_half(const uint16_t* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
REATTEND_INLINE Vec load_half_part(const uint16_t* p, int n) {
  return {_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first_lanes(n), p))};
}
REATTEND_INLINE void store_half(uint16_t* p, Vec x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(x.v, _MM_FROUND_TO_NEAREST_INT));
}
REATTEND_INLINE Vec load_bf16(const uint16_t* p) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
}
REATTEND_INLINE Vec load_bf16_part(const uint16_t* p, int n) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(first_lanes(n), p));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
}
/// To nearest, ties to even.
REATTEND_INLINE void store_bf16(uint16_t* p, Vec x) {
  const __m512i bits = _mm512_castps_si512(x.v), high = _mm512_srli_epi32(bits, 16);
  const __m512i odd = _mm512_and_si512(high, _mm512_set1_epi32(1));
  const __m512i rounded =
      _mm512_srli_epi32(_mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
  const __mmask16 is_nan = _mm512_cmp_ps_mask(x.v, x.v, _CMP_UNORD_Q);
  const __m512i out = _mm512_mask_or_epi32(rounded, is_nan, high, _mm512_set1_epi32(0x40));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(out));
}
REATTEND_INLINE Vec load_int8(const std::byte* p) {
  return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))};
}
REATTEND_INLINE Vec load_int8_part(const std::byte* p, int n) {
  return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(first_lanes(n), p)))};
}
/// A binary16 of no alignment in every lane.
REATTEND_INLINE Vec set_half(const std::byte* p) {
  int16_t bits;
  std::memcpy(&bits, p, sizeof bits);
  return {_mm512_cvtph_ps(_mm256_set1_epi16(bits))};
}

REATTEND_INLINE Vec add(Vec a, Vec b) {
  return {_mm512_add_ps(a.v, b.v)};
}
REATTEND_INLINE Vec sub(Vec a, Vec b) {
  return {_mm512_sub_ps(a.v, b.v)};
}
REATTEND_INLINE Vec mul(Vec a, Vec b) {
  return {_mm512_mul_ps(a.v, b.v)};
}
REATTEND_INLINE Vec div(Vec a, Vec b) {
  return {_mm512_div_ps(a.v, b.v)};
}
REATTEND_INLINE Vec max(Vec a, Vec b) {
  return {_mm512_max_ps(a.v, b.v)};
}
REATTEND_INLINE Vec min(Vec a, Vec b) {
  return {_mm512_min_ps(a.v, b.v)};
}
REATTEND_INLINE Vec abs(Vec a) {
  return {_mm512_abs_ps(a.v)};
}
/// a b + c in one rounding
REATTEND_INLINE Vec fma(Vec a, Vec b, Vec c) {
  return {_mm512_fmadd_ps(a.v, b.v, c.v)};
}
/// Nearest integer, ties to even.
REATTEND_INLINE Vec round(Vec a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT)};
}
/// a 2^n for a whole n within the exponent's range
REATTEND_INLINE Vec scale_by_power(Vec a, Vec n) {
  return {_mm512_scalef_ps(a.v, n.v)};
}
/// value where x >= limit, else 0
REATTEND_INLINE Vec where_at_least(Vec x, float limit, Vec value) {
  return {_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x.v, _mm512_set1_ps(limit), _CMP_GE_OQ), value.v)};
}

/// Sums of the lanes of four vectors, all by the same tree, into out[0 .. 4): within each quarter (0 + 2) + (1 + 3),
/// then quarters (0 + 2) + (1 + 3).
REATTEND_INLINE void sum4(Vec a, Vec b, Vec c, Vec d, float* out) {
  const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a.v, b.v), _mm512_unpackhi_ps(a.v, b.v));
  const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c.v, d.v), _mm512_unpackhi_ps(c.v, d.v));
  const __m512 quarters = _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xee));
  const __m256 halves = _mm256_add_ps(_mm512_castps512_ps256(quarters), _mm512_extractf32x8_ps(quarters, 1));
  _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps(halves, 1)));
}
REATTEND_INLINE float max_lane(Vec x) {
  return _mm512_reduce_max_ps(x.v);
}

REATTEND_INLINE IVec set_int(int32_t x) {
  return {_mm512_set1_epi32(x)};
}
REATTEND_INLINE IVec load_int(const int32_t* p) {
  return {_mm512_loadu_si512(p)};
}
/// Bit i: lane i of x >= limit.
/// Writes first + the places of the bits of mask, ascending, behind each other; may write 16. Returns how many.
REATTEND_INLINE int put_places(uint32_t mask, int32_t first, int32_t* out) {
  const __m512i places = _mm512_add_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                                          _mm512_set1_epi32(first));
  _mm512_storeu_si512(out, _mm512_maskz_compress_epi32(static_cast<__mmask16>(mask), places));
  return __builtin_popcount(mask);
}
REATTEND_INLINE uint32_t mask_at_least(IVec x, IVec limit) {
  return _cvtmask16_u32(_mm512_cmpge_epi32_mask(x.v, limit.v));
}
REATTEND_INLINE Vec to_float(IVec x) {
  return {_mm512_cvtepi32_ps(x.v)};
}
/// 16 bytes, one a lane.
REATTEND_INLINE IVec load_codes(const std::byte* p) {
  return {_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
/// Whole numbers below 256, a byte a lane.
REATTEND_INLINE void store_codes(std::byte* p, Vec x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(x.v)));
}
template <int n>
REATTEND_INLINE IVec shift_down(IVec x) {
  return {_mm512_srli_epi32(x.v, n)};
}
REATTEND_INLINE IVec low_bits_of(IVec x, int32_t mask) {
  return {_mm512_and_si512(x.v, _mm512_set1_epi32(mask))};
}
/// p [4] in each quarter.
REATTEND_INLINE Vec load_quarters(const float* p) {
  return {_mm512_broadcast_f32x4(_mm_loadu_ps(p))};
}
/// Lane i: value number (the lowest two bits of x's lane) of the quarter.
REATTEND_INLINE Vec look_up_low_bits(Vec quarters, IVec x) {
  return {_mm512_permutevar_ps(quarters.v, x.v)};
}
/// Rounds to nearest and stores the lanes' low bytes: 16 int8.
REATTEND_INLINE void store_int8(int8_t* p, Vec x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(x.v)));
}

REATTEND_INLINE Bytes load_bytes(const std::byte* p) {
  return {_mm512_loadu_si512(p)};
}
/// base | bits [kFrom, kFrom + kCount) of each byte of x, moved to kTo.
template <int kFrom, int kCount, int kTo>
REATTEND_INLINE Bytes or_bits(Bytes base, Bytes x) {
  constexpr int kDown = kFrom > kTo ? kFrom - kTo : 0, kUp = kTo > kFrom ? kTo - kFrom : 0;
  const __m512i moved = kUp > 0 ? _mm512_slli_epi16(x.v, kUp) : _mm512_srli_epi16(x.v, kDown);
  const __m512i mask = _mm512_set1_epi8(static_cast<char>(((1 << kCount) - 1) << kTo));
  return {_mm512_ternarylogic_epi32(base.v, moved, mask, 0xf8)};
}
/// Bits [kFrom, kFrom + kCount) of each byte.
template <int kFrom, int kCount>
REATTEND_INLINE Bytes bits_of(Bytes x) {
  return {_mm512_and_si512(_mm512_srli_epi16(x.v, kFrom), _mm512_set1_epi8((1 << kCount) - 1))};
}
/// table[x] for bytes below 16
REATTEND_INLINE Bytes look_up(const uint8_t* table, Bytes x) {
  const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
  return {_mm512_shuffle_epi8(_mm512_broadcast_i32x4(values), x.v)};
}
/// Byte k of each lane.
template <int k>
REATTEND_INLINE Vec byte_of_lane(Bytes x) {
  if constexpr (k == 3) return {_mm512_cvtepi32_ps(_mm512_srli_epi32(x.v, 24))};
  return {_mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srli_epi32(x.v, 8 * k), _mm512_set1_epi32(255)))};
}

/// Four int8 activations in each lane.
REATTEND_INLINE IVec broadcast4(const int8_t* p) {
  int32_t four;
  std::memcpy(&four, p, sizeof four);
  return {_mm512_set1_epi32(four)};
}
/// acc + the lane's four products; exact for any unsigned w.
template <bool kFullRange>
REATTEND_INLINE IVec dot4(IVec acc, Bytes w, IVec x) {
  return {_mm512_dpbusd_epi32(acc.v, w.v, x.v)};
}

REATTEND_INLINE void prefetch(const void* p) {
  _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0);
}

/// In place: 16 vectors as rows of a square -> its columns.
REATTEND_INLINE void transpose(Vec (&m)[16]) {
  __m512 t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_ps(m[i].v, m[i + 1].v);
    t[i + 1] = _mm512_unpackhi_ps(m[i].v, m[i + 1].v);
  }
  __m512 u[16];
  for (int i = 0; i < 16; i += 4) {
    u[i] = _mm512_shuffle_ps(t[i], t[i + 2], 0x44);
    u[i + 1] = _mm512_shuffle_ps(t[i], t[i + 2], 0xee);
    u[i + 2] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    u[i + 3] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
  for (int c = 0; c < 4; ++c) {
    const __m512 low = _mm512_shuffle_f32x4(u[c], u[4 + c], 0x88), high = _mm512_shuffle_f32x4(u[c], u[4 + c], 0xdd);
    const __m512 low2 = _mm512_shuffle_f32x4(u[8 + c], u[12 + c], 0x88);
    const __m512 high2 = _mm512_shuffle_f32x4(u[8 + c], u[12 + c], 0xdd);
    m[c].v = _mm512_shuffle_f32x4(low, low2, 0x88);
    m[4 + c].v = _mm512_shuffle_f32x4(high, high2, 0x88);
    m[8 + c].v = _mm512_shuffle_f32x4(low, low2, 0xdd);
    m[12 + c].v = _mm512_shuffle_f32x4(high, high2, 0xdd);
  }
}

}  // namespace
}  // namespace reattend::cpu::avx512
