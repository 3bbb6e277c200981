// Block formats of weights: one table of type, block size, bytes and dequantiser.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/half.h"

namespace reattend {

/// Values are ours; `gguf_id` in the table is the number in the file.
enum class TensorType : uint8_t {
  f32,
  f16,
  bf16,
  q8_0,
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  iq4_nl,
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k,
  iq4_xs
};

/// What the 4-bit codes of IQ4_NL and IQ4_XS stand for, plus 128.
inline constexpr uint8_t kCodeValues[16] = {1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241};

/// 32 columns that share a scale, taken apart: column i is d (quants[i] - offset) + m, the offset being the format's;
/// where quants are codes, with their values in their place.
struct UnpackedBlock {
  uint8_t quants[32];
  Half d, m;  ///< m only where the format has minima
};

/// 256 columns whose 16 groups have scales that share a scale: column i of group g is
/// d (scales[g] - scale_offset) (quants[i] - offset) - m minima[g], the offsets being the format's. Where the file has
/// a scale for 32 columns, two groups have it.
struct UnpackedSuper {
  uint8_t quants[256], scales[16], minima[16];
  Half d, m;  ///< m and minima only where the format has minima
};

/// A row of n columns is n / block_size blocks of block_bytes each, columns in order.
/// q8_0: f16 d, int8 q[32]: d q.   q4_0: f16 d, 16 bytes: d (q - 8).   q4_1: f16 d, f16 m, 16 bytes: d q + m.
/// q5_0: f16 d, 32 fifth bits, 16 bytes: d (q - 16).   q5_1: f16 d, f16 m, 32 fifth bits, 16 bytes: d q + m.
/// iq4_nl: f16 d, 16 bytes: d v[q], v a table of 16 values.
/// Byte i of a 4-bit block holds column i in its low and column i + 16 in its high half.
/// Blocks of 256 columns with scales of scales, 6 bits each but for q2_k (4) and q6_k (8): q2_k, q3_k and q6_k for 16
/// columns, q4_k, q5_k and iq4_xs (values as iq4_nl) for 32; q2_k, q4_k and q5_k with minima.
struct TensorFormat {
  TensorType type;
  std::string_view name;  ///< "Q4_1"
  uint32_t gguf_id;
  int32_t block_size, block_bytes;
  /// Either elements are numbers of their own: n of them as floats ...
  void (*elements)(const std::byte* blocks, int64_t n, float* out) = nullptr;
  /// ... or 32 columns share a scale. A quant takes `bits`, 2 to 6 or 8, in the tiles that products walk.
  void (*unpack)(const std::byte* block, UnpackedBlock& out) = nullptr;
  /// ... or 256 columns share the scale of their scales, each of `scale_cols` columns, 16 or 32.
  void (*unpack_super)(const std::byte* block, UnpackedSuper& out) = nullptr;
  int32_t bits = 0, offset = 0;
  bool has_minima = false;
  int32_t scale_cols = 0, scale_offset = 0;
  int32_t scale_bits = 8;  ///< in the tiles: 8, or 4 with the minimum in the upper half of the byte
  bool has_codes = false;  ///< quants are indices of kCodeValues

  bool is_quantised() const { return bits > 0; }
  /// What a quant counts for: itself, or its code's value.
  int32_t number_of(uint8_t quant) const { return (has_codes ? kCodeValues[quant] : quant) - offset; }
  /// out [n]: the exact values of n columns, a multiple of block_size.
  void dequantize(const std::byte* blocks, int64_t n, float* out) const;
};

std::span<const TensorFormat> tensor_formats();
const TensorFormat& format_of(TensorType type);
/// nullptr for a type that this program does not read.
const TensorFormat* format_of_gguf(uint32_t gguf_id);
/// Bytes of a matrix [n_row][n_col]; n_col must be a multiple of the block size.
int64_t matrix_bytes(TensorType type, int64_t n_row, int64_t n_col);

/// A weight matrix as it lies in the model file: rows [n_row] of n_col columns each. Bytes belong to the file's map.
struct TensorView {
  std::string_view name;
  TensorType type = TensorType::f32;
  int64_t n_row = 0, n_col = 0;  ///< a vector has n_row = 1
  std::span<const std::byte> bytes;

  bool empty() const { return bytes.empty(); }
};
/// Rows first ... first + n - 1 of it, which it must have, as a matrix.
TensorView rows_of(const TensorView& matrix, int64_t first, int64_t n);

}  // namespace reattend
