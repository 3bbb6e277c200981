// 16-bit floating-point numbers as plain bits, and their exact conversions.
#pragma once
#include <bit>
#include <cstdint>

namespace reattend {

/// IEEE binary16 and bfloat16 travel as raw bits; these types only keep them from being mixed up.
enum class Half : uint16_t {};
enum class BFloat16 : uint16_t {};

inline float to_float(BFloat16 x) {
  return std::bit_cast<float>(uint32_t{static_cast<uint16_t>(x)} << 16);
}

/// Exact: every binary16 value is a float. Subnormals, infinities and NaN included.
inline float to_float(Half x) {
  const uint32_t bits = static_cast<uint16_t>(x);
  const uint32_t sign = (bits & 0x8000u) << 16, rest = bits & 0x7fffu;
  if (rest >= 0x7c00u) return std::bit_cast<float>(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
  // A subnormal is its mantissa times 2^-24; normals only need the exponent's bias moved.
  if (rest < 0x400u) {
    const float magnitude = static_cast<float>(rest) * 0x1p-24F;
    return sign != 0 ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | ((rest << 13) + 0x38000000u));
}

/// Rounds to nearest, ties to even, as the hardware's conversion does.
inline Half to_half(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  const auto sign = static_cast<uint16_t>(bits >> 16 & 0x8000u);
  uint32_t rest = bits & 0x7fffffffu;
  if (rest > 0x7f800000u) return static_cast<Half>(sign | 0x7e00u);
  if (rest >= 0x477ff000u) return static_cast<Half>(sign | 0x7c00u);
  if (rest < 0x38800000u) {  // below 2^-14: let the FPU round at 2^-24
    const float scaled = std::bit_cast<float>(rest) + 0.5F;
    return static_cast<Half>(sign | static_cast<uint16_t>(std::bit_cast<uint32_t>(scaled) - 0x3f000000u));
  }
  rest += 0xfffu + (rest >> 13 & 1u);
  return static_cast<Half>(sign | static_cast<uint16_t>((rest - 0x38000000u) >> 13));
}

/// Rounds to nearest, ties to even.
inline BFloat16 to_bfloat16(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<BFloat16>(static_cast<uint16_t>(bits >> 16 | 0x40u));
  return static_cast<BFloat16>(static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16));
}

}  // namespace reattend
