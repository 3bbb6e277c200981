// The table of weight formats and their exact dequantisers.
#include "kernels/quant.h"

#include <cstring>
#include <limits>

#include "base/error.h"
#include "base/half.h"

namespace reattend {
namespace {

constexpr int32_t kBlock = 32;

/// Blocks in a file have no alignment.
template <class T>
T read(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

float read_half(const std::byte* from) {
  return to_float(read<Half>(from));
}

void dequantize_f32(const std::byte* blocks, int64_t n, float* out) {
  std::memcpy(out, blocks, static_cast<size_t>(n) * sizeof(float));
}

template <class T>
void dequantize_16_bit(const std::byte* blocks, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = to_float(read<T>(blocks + 2 * i));
}

void dequantize_q8_0(const std::byte* blocks, int64_t n, float* out) {
  for (int64_t b = 0; b < n / kBlock; ++b, blocks += 34, out += kBlock) {
    const float d = read_half(blocks);
    for (int i = 0; i < kBlock; ++i) out[i] = d * static_cast<float>(read<int8_t>(blocks + 2 + i));
  }
}

/// value = d (q - offset) + m; the product is exact in float, so this rounds at most once.
void dequantize_nibbles(const std::byte* nibbles, float d, int offset, float m, float* out) {
  for (int i = 0; i < kBlock / 2; ++i) {
    const auto byte = std::to_integer<int>(nibbles[i]);
    out[i] = d * static_cast<float>((byte & 15) - offset) + m;
    out[i + kBlock / 2] = d * static_cast<float>((byte >> 4) - offset) + m;
  }
}

void dequantize_q4_0(const std::byte* blocks, int64_t n, float* out) {
  for (int64_t b = 0; b < n / kBlock; ++b, blocks += 18, out += kBlock) {
    dequantize_nibbles(blocks + 2, read_half(blocks), 8, 0.0F, out);
  }
}

void dequantize_q4_1(const std::byte* blocks, int64_t n, float* out) {
  for (int64_t b = 0; b < n / kBlock; ++b, blocks += 20, out += kBlock) {
    dequantize_nibbles(blocks + 4, read_half(blocks), 0, read_half(blocks + 2), out);
  }
}

constexpr TensorFormat kFormats[] = {
    {TensorType::f32, "F32", 0, 1, 4, dequantize_f32},
    {TensorType::f16, "F16", 1, 1, 2, dequantize_16_bit<Half>},
    {TensorType::bf16, "BF16", 30, 1, 2, dequantize_16_bit<BFloat16>},
    {TensorType::q8_0, "Q8_0", 8, kBlock, 34, dequantize_q8_0},
    {TensorType::q4_0, "Q4_0", 2, kBlock, 18, dequantize_q4_0},
    {TensorType::q4_1, "Q4_1", 3, kBlock, 20, dequantize_q4_1},
};

constexpr bool table_is_in_order() {
  for (size_t i = 0; i < std::size(kFormats); ++i) {
    if (static_cast<size_t>(kFormats[i].type) != i) return false;
  }
  return true;
}
static_assert(table_is_in_order(), "format_of() indexes the table by type");

}  // namespace

std::span<const TensorFormat> tensor_formats() {
  return kFormats;
}

const TensorFormat& format_of(TensorType type) {
  return kFormats[static_cast<size_t>(type)];
}

const TensorFormat* format_of_gguf(uint32_t gguf_id) {
  for (const TensorFormat& format : kFormats) {
    if (format.gguf_id == gguf_id) return &format;
  }
  return nullptr;
}

int64_t matrix_bytes(TensorType type, int64_t n_row, int64_t n_col) {
  const TensorFormat& format = format_of(type);
  if (n_row < 0 || n_col < 0 || n_col % format.block_size != 0) {
    fail({.where = std::string(format.name) + " matrix",
          .expected = "columns in whole blocks of " + std::to_string(format.block_size),
          .got = std::to_string(n_row) + " x " + std::to_string(n_col),
          .remedy = ""});
  }
  const int64_t n_block = n_col / format.block_size;
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  if (n_block > kMax / format.block_bytes || (n_row > 0 && n_block * format.block_bytes > kMax / n_row)) {
    fail({.where = std::string(format.name) + " matrix",
          .expected = "a size below 2^63 bytes",
          .got = std::to_string(n_row) + " x " + std::to_string(n_col),
          .remedy = ""});
  }
  return n_row * n_block * format.block_bytes;
}

}  // namespace reattend
