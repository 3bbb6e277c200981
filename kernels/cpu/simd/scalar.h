// Sixteen lanes in plain C++, for any machine; the compiler may vectorise the loops.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/half.h"

#define REATTEND_INLINE inline __attribute__((always_inline))

namespace reattend::cpu::scalar {
namespace {

struct Vec {
  float v[16];
};
struct IVec {
  int32_t v[16];
};
/// 64 unsigned bytes: four columns of each of 16 rows, lane = row.
struct Bytes {
  uint8_t v[64];
};

inline constexpr int kTokens = 2;      // of a quantised product
inline constexpr int kHeads = 1;       // query heads per pass over a piece
inline constexpr int kUnpackFrom = 2;  // query heads from which rows of q8 are unpacked once, not in each pass
inline constexpr int kGemmRows = 2;    // rows and
inline constexpr int kGemmVecs = 1;    // vectors of prompt attention's tiles

template <class F>
REATTEND_INLINE Vec lanes(F of_lane) {
  Vec out;
  for (int i = 0; i < 16; ++i) out.v[i] = of_lane(i);
  return out;
}

REATTEND_INLINE Vec set(float x) {
  return lanes([&](int) { return x; });
}
REATTEND_INLINE Vec zero() {
  return set(0);
}
REATTEND_INLINE Vec load(const float* p) {
  return lanes([&](int i) { return p[i]; });
}
REATTEND_INLINE Vec load_part(const float* p, int n) {
  return lanes([&](int i) { return i < n ? p[i] : 0.0F; });
}
REATTEND_INLINE void store(float* p, const Vec& x) {
  std::memcpy(p, x.v, sizeof x.v);
}
REATTEND_INLINE void store_part(float* p, const Vec& x, int n) {
  for (int i = 0; i < n; ++i) p[i] = x.v[i];
}

/// binary16 and bfloat16 travel as raw bits.
REATTEND_INLINE Vec load_half(const uint16_t* p) {
  return lanes([&](int i) { return reattend::to_float(static_cast<Half>(p[i])); });
}
REATTEND_INLINE Vec load_half_part(const uint16_t* p, int n) {
  return lanes([&](int i) { return i < n ? reattend::to_float(static_cast<Half>(p[i])) : 0.0F; });
}
REATTEND_INLINE void store_half(uint16_t* p, const Vec& x) {
  for (int i = 0; i < 16; ++i) p[i] = static_cast<uint16_t>(to_half(x.v[i]));
}
REATTEND_INLINE Vec load_bf16(const uint16_t* p) {
  return lanes([&](int i) { return reattend::to_float(static_cast<BFloat16>(p[i])); });
}
REATTEND_INLINE Vec load_bf16_part(const uint16_t* p, int n) {
  return lanes([&](int i) { return i < n ? reattend::to_float(static_cast<BFloat16>(p[i])) : 0.0F; });
}
REATTEND_INLINE void store_bf16(uint16_t* p, const Vec& x) {
  for (int i = 0; i < 16; ++i) p[i] = static_cast<uint16_t>(to_bfloat16(x.v[i]));
}
REATTEND_INLINE Vec load_int8(const std::byte* p) {
  return lanes([&](int i) { return static_cast<float>(static_cast<int8_t>(p[i])); });
}
REATTEND_INLINE Vec load_int8_part(const std::byte* p, int n) {
  return lanes([&](int i) { return i < n ? static_cast<float>(static_cast<int8_t>(p[i])) : 0.0F; });
}
/// A binary16 of no alignment in every lane.
REATTEND_INLINE Vec set_half(const std::byte* p) {
  Half half;
  std::memcpy(&half, p, sizeof half);
  return set(reattend::to_float(half));
}

REATTEND_INLINE Vec add(const Vec& a, const Vec& b) {
  return lanes([&](int i) { return a.v[i] + b.v[i]; });
}
REATTEND_INLINE Vec sub(const Vec& a, const Vec& b) {
  return lanes([&](int i) { return a.v[i] - b.v[i]; });
}
REATTEND_INLINE Vec mul(const Vec& a, const Vec& b) {
  return lanes([&](int i) { return a.v[i] * b.v[i]; });
}
REATTEND_INLINE Vec div(const Vec& a, const Vec& b) {
  return lanes([&](int i) { return a.v[i] / b.v[i]; });
}
REATTEND_INLINE Vec max(const Vec& a, const Vec& b) {
  return lanes([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
REATTEND_INLINE Vec min(const Vec& a, const Vec& b) {
  return lanes([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
REATTEND_INLINE Vec abs(const Vec& a) {
  return lanes([&](int i) { return std::fabs(a.v[i]); });
}
/// a b + c; the product is rounded here, unlike in the vector targets.
REATTEND_INLINE Vec fma(const Vec& a, const Vec& b, const Vec& c) {
  return lanes([&](int i) { return a.v[i] * b.v[i] + c.v[i]; });
}
/// Nearest integer, ties to even, for |a| < 2^22: the sum leaves no room for a fraction.
REATTEND_INLINE Vec round(const Vec& a) {
  return lanes([&](int i) { return (a.v[i] + 0x1.8p23F) - 0x1.8p23F; });
}
/// a 2^n for a whole n within the exponent's range
REATTEND_INLINE Vec scale_by_power(const Vec& a, const Vec& n) {
  return lanes([&](int i) {
    return a.v[i] * std::bit_cast<float>(static_cast<uint32_t>(static_cast<int32_t>(n.v[i]) + 127) << 23);
  });
}
/// value where x >= limit, else 0
REATTEND_INLINE Vec where_at_least(const Vec& x, float limit, const Vec& value) {
  return lanes([&](int i) { return x.v[i] >= limit ? value.v[i] : 0.0F; });
}

REATTEND_INLINE float sum_lanes(const Vec& x) {
  const auto quarter = [&](int i) { return (x.v[i] + x.v[i + 2]) + (x.v[i + 1] + x.v[i + 3]); };
  return (quarter(0) + quarter(8)) + (quarter(4) + quarter(12));
}
/// Sums of the lanes of four vectors, all by the same tree, into out[0 .. 4): within each quarter (0 + 2) + (1 + 3),
/// then quarters (0 + 2) + (1 + 3).
REATTEND_INLINE void sum4(const Vec& a, const Vec& b, const Vec& c, const Vec& d, float* out) {
  out[0] = sum_lanes(a), out[1] = sum_lanes(b), out[2] = sum_lanes(c), out[3] = sum_lanes(d);
}
REATTEND_INLINE float max_lane(const Vec& x) {
  float top = x.v[0];
  for (int i = 1; i < 16; ++i) top = x.v[i] > top ? x.v[i] : top;
  return top;
}

REATTEND_INLINE IVec set_int(int32_t x) {
  IVec out;
  for (int32_t& lane : out.v) lane = x;
  return out;
}
REATTEND_INLINE IVec load_int(const int32_t* p) {
  IVec out;
  std::memcpy(out.v, p, sizeof out.v);
  return out;
}
/// Bit i: lane i of x >= limit.
/// Writes first + the places of the bits of mask, ascending, behind each other; may write 16. Returns how many.
REATTEND_INLINE int put_places(uint32_t mask, int32_t first, int32_t* out) {
  int n = 0;
  for (; mask != 0; mask &= mask - 1) out[n++] = first + __builtin_ctz(mask);
  return n;
}
REATTEND_INLINE uint32_t mask_at_least(const IVec& x, const IVec& limit) {
  uint32_t mask = 0;
  for (int i = 0; i < 16; ++i) mask |= static_cast<uint32_t>(x.v[i] >= limit.v[i]) << i;
  return mask;
}
REATTEND_INLINE Vec to_float(const IVec& x) {
  return lanes([&](int i) { return static_cast<float>(x.v[i]); });
}
/// 16 bytes, one a lane.
REATTEND_INLINE IVec load_codes(const std::byte* p) {
  IVec out;
  for (int i = 0; i < 16; ++i) out.v[i] = std::to_integer<int32_t>(p[i]);
  return out;
}
/// Whole numbers below 256, a byte a lane.
REATTEND_INLINE void store_codes(std::byte* p, const Vec& x) {
  for (int i = 0; i < 16; ++i) p[i] = static_cast<std::byte>(static_cast<uint8_t>(x.v[i]));
}
template <int n>
REATTEND_INLINE IVec shift_down(const IVec& x) {
  IVec out;
  for (int i = 0; i < 16; ++i) out.v[i] = x.v[i] >> n;
  return out;
}
REATTEND_INLINE IVec low_bits_of(const IVec& x, int32_t mask) {
  IVec out;
  for (int i = 0; i < 16; ++i) out.v[i] = x.v[i] & mask;
  return out;
}
/// p [4] in each quarter.
REATTEND_INLINE Vec load_quarters(const float* p) {
  return lanes([&](int i) { return p[i % 4]; });
}
/// Lane i: value number (the lowest two bits of x's lane) of the quarter.
REATTEND_INLINE Vec look_up_low_bits(const Vec& quarters, const IVec& x) {
  return lanes([&](int i) { return quarters.v[x.v[i] & 3]; });
}
/// Rounds to nearest and stores 16 int8. Values lie within int8.
REATTEND_INLINE void store_int8(int8_t* p, const Vec& x) {
  const Vec whole = round(x);
  for (int i = 0; i < 16; ++i) p[i] = static_cast<int8_t>(whole.v[i]);
}

REATTEND_INLINE Bytes load_bytes(const std::byte* p) {
  Bytes out;
  std::memcpy(out.v, p, sizeof out.v);
  return out;
}
/// Bits [kFrom, kFrom + kCount) of each byte.
template <int kFrom, int kCount>
REATTEND_INLINE Bytes bits_of(const Bytes& x) {
  Bytes out;
  for (int i = 0; i < 64; ++i) out.v[i] = static_cast<uint8_t>(x.v[i] >> kFrom & ((1 << kCount) - 1));
  return out;
}
/// base | those, moved to kTo
template <int kFrom, int kCount, int kTo>
REATTEND_INLINE Bytes or_bits(const Bytes& base, const Bytes& x) {
  Bytes out = bits_of<kFrom, kCount>(x);
  for (int i = 0; i < 64; ++i) out.v[i] = static_cast<uint8_t>(base.v[i] | out.v[i] << kTo);
  return out;
}
/// table[x] for bytes below 16
REATTEND_INLINE Bytes look_up(const uint8_t* table, const Bytes& x) {
  Bytes out;
  for (int i = 0; i < 64; ++i) out.v[i] = table[x.v[i]];
  return out;
}
/// Byte k of each lane.
template <int k>
REATTEND_INLINE Vec byte_of_lane(const Bytes& x) {
  return lanes([&](int i) { return static_cast<float>(x.v[4 * i + k]); });
}

/// Four int8 activations in each lane.
REATTEND_INLINE IVec broadcast4(const int8_t* p) {
  int32_t four;
  std::memcpy(&four, p, sizeof four);
  return set_int(four);
}
/// acc + the lane's four products.
template <bool kFullRange>
REATTEND_INLINE IVec dot4(const IVec& acc, const Bytes& w, const IVec& x) {
  int8_t s[4];
  std::memcpy(s, x.v, sizeof s);
  IVec out;
  for (int i = 0; i < 16; ++i) {
    const uint8_t* u = w.v + 4 * i;
    out.v[i] = acc.v[i] + u[0] * s[0] + u[1] * s[1] + u[2] * s[2] + u[3] * s[3];
  }
  return out;
}

REATTEND_INLINE void prefetch(const void* p) {
  __builtin_prefetch(p);
}

/// In place: 16 vectors as rows of a square -> its columns.
REATTEND_INLINE void transpose(Vec (&m)[16]) {
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < i; ++j) {
      const float x = m[i].v[j];
      m[i].v[j] = m[j].v[i];
      m[j].v[i] = x;
    }
  }
}

}  // namespace
}  // namespace reattend::cpu::scalar
