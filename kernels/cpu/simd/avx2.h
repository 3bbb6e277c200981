// Sixteen lanes in two AVX2 registers (AVX2, FMA, F16C).
#pragma once
#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#define REATTEND_INLINE inline __attribute__((always_inline))

namespace reattend::cpu::avx2 {
namespace {

/// Lanes 0 .. 7 and 8 .. 15.
struct Vec {
  __m256 a, b;
};
struct IVec {
  __m256i a, b;
};
/// 64 unsigned bytes: four columns of each of 16 rows, lane = row.
struct Bytes {
  __m256i a, b;
};

/// Tile sizes that keep all accumulators of an inner loop in 16 registers.
inline constexpr int kTokens = 2;      // of a quantised product
inline constexpr int kHeads = 1;       // query heads per pass over a piece
inline constexpr int kUnpackFrom = 2;  // query heads from which rows of q8 are unpacked once, not in each pass
inline constexpr int kGemmRows = 6;    // rows and
inline constexpr int kGemmVecs = 1;    // vectors of prompt attention's tiles

REATTEND_INLINE __m256i first_lanes(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

REATTEND_INLINE Vec zero() {
  return {_mm256_setzero_ps(), _mm256_setzero_ps()};
}
REATTEND_INLINE Vec set(float x) {
  return {_mm256_set1_ps(x), _mm256_set1_ps(x)};
}
REATTEND_INLINE Vec load(const float* p) {
  return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
REATTEND_INLINE Vec load_part(const float* p, int n) {
  return {_mm256_maskload_ps(p, first_lanes(n)), _mm256_maskload_ps(p + 8, first_lanes(n - 8))};
}
REATTEND_INLINE void store(float* p, Vec x) {
  _mm256_storeu_ps(p, x.a);
  _mm256_storeu_ps(p + 8, x.b);
}
REATTEND_INLINE void store_part(float* p, Vec x, int n) {
  _mm256_maskstore_ps(p, first_lanes(n), x.a);
  _mm256_maskstore_ps(p + 8, first_lanes(n - 8), x.b);
}

/// binary16 and bfloat16 travel as raw bits.
REATTEND_INLINE Vec load_half(const uint16_t* p) {
  return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
          _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)))};
}
/// The first n bytes of 32, zeros behind them; what is not whole words goes through memory, which is slow (d_head 20 by
/// it took four times as long).
REATTEND_INLINE __m256i load_bytes_part(const void* p, int n) {
  const int n_word = n / 4;
  if (n % 4 == 0) return _mm256_maskload_epi32(static_cast<const int*>(p), first_lanes(n_word));
  alignas(32) std::byte whole[32] = {};
  std::memcpy(whole, p, static_cast<size_t>(n));
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(whole));
}
REATTEND_INLINE Vec load_half_part(const uint16_t* p, int n) {
  const __m256i raw = load_bytes_part(p, 2 * n);
  return {_mm256_cvtph_ps(_mm256_castsi256_si128(raw)), _mm256_cvtph_ps(_mm256_extracti128_si256(raw, 1))};
}
REATTEND_INLINE void store_half(uint16_t* p, Vec x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(x.a, _MM_FROUND_TO_NEAREST_INT));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 8), _mm256_cvtps_ph(x.b, _MM_FROUND_TO_NEAREST_INT));
}
REATTEND_INLINE Vec load_bf16(const uint16_t* p) {
  const auto widen = [](const uint16_t* from) {
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
  };
  return {widen(p), widen(p + 8)};
}
REATTEND_INLINE Vec load_bf16_part(const uint16_t* p, int n) {
  const __m256i raw = load_bytes_part(p, 2 * n);
  const auto widen = [](__m128i half) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
  };
  return {widen(_mm256_castsi256_si128(raw)), widen(_mm256_extracti128_si256(raw, 1))};
}
/// To nearest, ties to even.
REATTEND_INLINE void store_bf16(uint16_t* p, Vec x) {
  const auto round = [](__m256 v) {
    const __m256i bits = _mm256_castps_si256(v), high = _mm256_srli_epi32(bits, 16);
    const __m256i odd = _mm256_and_si256(high, _mm256_set1_epi32(1));
    const __m256i up = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const __m256i quiet = _mm256_or_si256(high, _mm256_set1_epi32(0x40));
    const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    return _mm256_blendv_epi8(_mm256_srli_epi32(up, 16), quiet, is_nan);
  };
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packus_epi32(round(x.a), round(x.b)), _MM_SHUFFLE(3, 1, 2, 0));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), words);
}
REATTEND_INLINE Vec load_int8(const std::byte* p) {
  const auto widen = [](const std::byte* from) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
  };
  return {widen(p), widen(p + 8)};
}
REATTEND_INLINE Vec load_int8_part(const std::byte* p, int n) {
  const __m128i raw = _mm256_castsi256_si128(load_bytes_part(p, n));
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(raw)),
          _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(raw, 8)))};
}
/// A binary16 of no alignment in every lane.
REATTEND_INLINE Vec set_half(const std::byte* p) {
  int16_t bits;
  std::memcpy(&bits, p, sizeof bits);
  const __m256 eight = _mm256_cvtph_ps(_mm_set1_epi16(bits));
  return {eight, eight};
}

REATTEND_INLINE Vec add(Vec x, Vec y) {
  return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)};
}
REATTEND_INLINE Vec sub(Vec x, Vec y) {
  return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)};
}
REATTEND_INLINE Vec mul(Vec x, Vec y) {
  return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)};
}
REATTEND_INLINE Vec div(Vec x, Vec y) {
  return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)};
}
REATTEND_INLINE Vec max(Vec x, Vec y) {
  return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)};
}
REATTEND_INLINE Vec min(Vec x, Vec y) {
  return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)};
}
REATTEND_INLINE Vec abs(Vec x) {
  const __m256 sign = _mm256_set1_ps(-0.0F);
  return {_mm256_andnot_ps(sign, x.a), _mm256_andnot_ps(sign, x.b)};
}
/// x y + z in one rounding
REATTEND_INLINE Vec fma(Vec x, Vec y, Vec z) {
  return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
/// Nearest integer, ties to even.
REATTEND_INLINE Vec round(Vec x) {
  constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return {_mm256_round_ps(x.a, kNearest), _mm256_round_ps(x.b, kNearest)};
}
/// x 2^n for a whole n within the exponent's range
REATTEND_INLINE Vec scale_by_power(Vec x, Vec n) {
  const auto power = [](__m256 e) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(e), _mm256_set1_epi32(127)), 23));
  };
  return {_mm256_mul_ps(x.a, power(n.a)), _mm256_mul_ps(x.b, power(n.b))};
}
/// value where x >= limit, else 0
REATTEND_INLINE Vec where_at_least(Vec x, float limit, Vec value) {
  const __m256 bound = _mm256_set1_ps(limit);
  return {_mm256_and_ps(_mm256_cmp_ps(x.a, bound, _CMP_GE_OQ), value.a),
          _mm256_and_ps(_mm256_cmp_ps(x.b, bound, _CMP_GE_OQ), value.b)};
}

/// Sums of the lanes of four vectors, all by the same tree, into out[0 .. 4): within each quarter (0 + 2) + (1 + 3),
/// then quarters (0 + 2) + (1 + 3).
REATTEND_INLINE void sum4(Vec x, Vec y, Vec z, Vec w, float* out) {
  const auto quarters = [](__m256 p, __m256 q, __m256 r, __m256 s) {
    const __m256 pq = _mm256_add_ps(_mm256_unpacklo_ps(p, q), _mm256_unpackhi_ps(p, q));
    const __m256 rs = _mm256_add_ps(_mm256_unpacklo_ps(r, s), _mm256_unpackhi_ps(r, s));
    return _mm256_add_ps(_mm256_shuffle_ps(pq, rs, 0x44), _mm256_shuffle_ps(pq, rs, 0xee));
  };
  const __m256 halves = _mm256_add_ps(quarters(x.a, y.a, z.a, w.a), quarters(x.b, y.b, z.b, w.b));
  _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps(halves, 1)));
}
REATTEND_INLINE float max_lane(Vec x) {
  const __m256 eight = _mm256_max_ps(x.a, x.b);
  __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  four = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
}

REATTEND_INLINE IVec set_int(int32_t x) {
  return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)};
}
REATTEND_INLINE IVec load_int(const int32_t* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 8))};
}
/// Bit i: lane i of x >= limit.
/// Writes first + the places of the bits of mask, ascending, behind each other; may write 16. Returns how many.
REATTEND_INLINE int put_places(uint32_t mask, int32_t first, int32_t* out) {
  int n = 0;
  for (; mask != 0; mask &= mask - 1) out[n++] = first + __builtin_ctz(mask);
  return n;
}
REATTEND_INLINE uint32_t mask_at_least(IVec x, IVec limit) {
  const auto below = [](__m256i l, __m256i y) {
    return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(l, y))));
  };
  return ~(below(limit.a, x.a) | below(limit.b, x.b) << 8) & 0xffffU;
}
REATTEND_INLINE Vec to_float(IVec x) {
  return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)};
}
/// 16 bytes, one a lane.
REATTEND_INLINE IVec load_codes(const std::byte* p) {
  const auto widen = [](const std::byte* from) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)));
  };
  return {widen(p), widen(p + 8)};
}
/// Whole numbers below 256, a byte a lane.
REATTEND_INLINE void store_codes(std::byte* p, Vec x) {
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(_mm256_cvttps_epi32(x.a), _mm256_cvttps_epi32(x.b)),
                                                 _MM_SHUFFLE(3, 1, 2, 0));
  const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
}
template <int n>
REATTEND_INLINE IVec shift_down(IVec x) {
  return {_mm256_srli_epi32(x.a, n), _mm256_srli_epi32(x.b, n)};
}
REATTEND_INLINE IVec low_bits_of(IVec x, int32_t mask) {
  const __m256i bits = _mm256_set1_epi32(mask);
  return {_mm256_and_si256(x.a, bits), _mm256_and_si256(x.b, bits)};
}
/// p [4] in each quarter.
REATTEND_INLINE Vec load_quarters(const float* p) {
  const __m256 quarters = _mm256_broadcast_ps(reinterpret_cast<const __m128*>(p));
  return {quarters, quarters};
}
/// Lane i: value number (the lowest two bits of x's lane) of the quarter.
REATTEND_INLINE Vec look_up_low_bits(Vec quarters, IVec x) {
  return {_mm256_permutevar_ps(quarters.a, x.a), _mm256_permutevar_ps(quarters.b, x.b)};
}
/// Rounds to nearest and stores the lanes' low bytes: 16 int8. Values lie within int8.
REATTEND_INLINE void store_int8(int8_t* p, Vec x) {
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b)),
                                                 _MM_SHUFFLE(3, 1, 2, 0));
  const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
}

REATTEND_INLINE Bytes load_bytes(const std::byte* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 32))};
}
/// Bits [kFrom, kFrom + kCount) of each byte, moved to kTo.
template <int kFrom, int kCount, int kTo = 0>
REATTEND_INLINE Bytes bits_of(Bytes x) {
  const auto moved = [](__m256i v) {
    constexpr int kDown = kFrom > kTo ? kFrom - kTo : 0, kUp = kTo > kFrom ? kTo - kFrom : 0;
    const __m256i mask = _mm256_set1_epi8(static_cast<char>(((1 << kCount) - 1) << kTo));
    return _mm256_and_si256(kUp > 0 ? _mm256_slli_epi16(v, kUp) : _mm256_srli_epi16(v, kDown), mask);
  };
  return {moved(x.a), moved(x.b)};
}
/// base | those
template <int kFrom, int kCount, int kTo>
REATTEND_INLINE Bytes or_bits(Bytes base, Bytes x) {
  const Bytes moved = bits_of<kFrom, kCount, kTo>(x);
  return {_mm256_or_si256(base.a, moved.a), _mm256_or_si256(base.b, moved.b)};
}
/// table[x] for bytes below 16
REATTEND_INLINE Bytes look_up(const uint8_t* table, Bytes x) {
  const __m256i values = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
  return {_mm256_shuffle_epi8(values, x.a), _mm256_shuffle_epi8(values, x.b)};
}
/// Byte k of each lane.
template <int k>
REATTEND_INLINE Vec byte_of_lane(Bytes x) {
  const __m256i mask = _mm256_set1_epi32(255);
  return {_mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srli_epi32(x.a, 8 * k), mask)),
          _mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srli_epi32(x.b, 8 * k), mask))};
}

/// Four int8 activations in each lane.
REATTEND_INLINE IVec broadcast4(const int8_t* p) {
  int32_t four;
  std::memcpy(&four, p, sizeof four);
  return set_int(four);
}
/// acc + the lane's four products. With kFullRange exact for any unsigned w, by way of 16 bits; otherwise w <= 127.
template <bool kFullRange>
REATTEND_INLINE IVec dot4(IVec acc, Bytes w, IVec x) {
  const auto dot = [](__m256i u, __m256i s) {
    if constexpr (!kFullRange) return _mm256_madd_epi16(_mm256_maddubs_epi16(u, s), _mm256_set1_epi16(1));
    const __m256i even =
        _mm256_madd_epi16(_mm256_and_si256(u, _mm256_set1_epi16(255)), _mm256_srai_epi16(_mm256_slli_epi16(s, 8), 8));
    return _mm256_add_epi32(even, _mm256_madd_epi16(_mm256_srli_epi16(u, 8), _mm256_srai_epi16(s, 8)));
  };
  return {_mm256_add_epi32(acc.a, dot(w.a, x.a)), _mm256_add_epi32(acc.b, dot(w.b, x.b))};
}

REATTEND_INLINE void prefetch(const void* p) {
  _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0);
}

/// In place: 16 vectors as rows of a square -> its columns.
REATTEND_INLINE void transpose(Vec (&m)[16]) {
  const auto eight = [](__m256(&x)[8]) {
    __m256 t[8], u[8];
    for (int i = 0; i < 8; i += 2) {
      t[i] = _mm256_unpacklo_ps(x[i], x[i + 1]);
      t[i + 1] = _mm256_unpackhi_ps(x[i], x[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
      u[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
      u[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
      u[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
      u[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    for (int i = 0; i < 4; ++i) {
      x[i] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x20);
      x[i + 4] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x31);
    }
  };
  __m256 q[4][8];  // quarters of the square: rows 0-7 and 8-15, lanes a and b
  for (int i = 0; i < 8; ++i) q[0][i] = m[i].a, q[1][i] = m[i].b, q[2][i] = m[i + 8].a, q[3][i] = m[i + 8].b;
  for (auto& quarter : q) eight(quarter);
  for (int i = 0; i < 8; ++i) m[i] = {q[0][i], q[2][i]}, m[i + 8] = {q[1][i], q[3][i]};
}

}  // namespace
}  // namespace reattend::cpu::avx2
