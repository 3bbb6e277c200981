// Rotary position embedding: frequencies, both layouts, forward and inverse.
#pragma once
#include <cstdint>
#include <vector>

namespace reattend {

/// Which channels turn together: (2i, 2i+1) in llama GGUF files, (i, i + d/2) in qwen2's.
enum class RopeLayout : uint8_t { pairs, halves };

/// Angle of pair i at position p is p * base^(-2i/d_head) / factors[i].
struct Rope {
  RopeLayout layout = RopeLayout::pairs;
  double base = 10000;
  int32_t d_head = 0;
  std::vector<float> factors;  ///< [d_head / 2], or empty for all ones

  /// Turns x [n_head][d_head] in place to position `position`; a negative one turns back. Angles are computed in
  /// double, so keys of position 100,000 are as exact as those of position 1. T is float or double.
  template <class T>
  void rotate(T* x, int32_t n_head, int64_t position) const;

  /// The two halves of rotate(), for many layers or heads at one position: cosine and sine of every pair's angle,
  /// [d_head / 2][2], and the rotation of x [n_head][d_head] by them.
  template <class T>
  void angles(int64_t position, T* cos_sin) const;
  template <class T>
  void rotate_by(T* x, int32_t n_head, const T* cos_sin) const;
};

}  // namespace reattend
