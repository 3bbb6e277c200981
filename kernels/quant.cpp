// The table of weight formats, and how each is taken apart.
#include "kernels/quant.h"

#include <cstring>
#include <limits>
#include <type_traits>

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

void floats(const std::byte* blocks, int64_t n, float* out) {
  std::memcpy(out, blocks, static_cast<size_t>(n) * sizeof(float));
}

template <class T>
void halves(const std::byte* blocks, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = to_float(read<T>(blocks + 2 * i));
}

void read_nibbles(const std::byte* nibbles, UnpackedBlock& out) {
  for (int i = 0; i < kBlock / 2; ++i) {
    const auto byte = std::to_integer<uint8_t>(nibbles[i]);
    out.quants[i] = byte & 15, out.quants[i + kBlock / 2] = byte >> 4;
  }
}

void unpack_q8_0(const std::byte* block, UnpackedBlock& out) {
  out.d = read<Half>(block);
  for (int i = 0; i < kBlock; ++i) out.quants[i] = std::to_integer<uint8_t>(block[2 + i]) ^ 0x80;  // q + 128
}

void unpack_q4_0(const std::byte* block, UnpackedBlock& out) {
  out.d = read<Half>(block);
  read_nibbles(block + 2, out);
}

void unpack_q4_1(const std::byte* block, UnpackedBlock& out) {
  out.d = read<Half>(block), out.m = read<Half>(block + 2);
  read_nibbles(block + 4, out);
}

/// Four bits of each column, and a word with their fifth.
void read_five_bits(const std::byte* high, const std::byte* nibbles, UnpackedBlock& out) {
  read_nibbles(nibbles, out);
  const auto fifth = read<uint32_t>(high);
  for (int i = 0; i < kBlock; ++i) out.quants[i] = static_cast<uint8_t>(out.quants[i] | (fifth >> i & 1U) << 4);
}

void unpack_q5_0(const std::byte* block, UnpackedBlock& out) {
  out.d = read<Half>(block);
  read_five_bits(block + 2, block + 6, out);
}

void unpack_q5_1(const std::byte* block, UnpackedBlock& out) {
  out.d = read<Half>(block), out.m = read<Half>(block + 2);
  read_five_bits(block + 4, block + 8, out);
}

void unpack_iq4_nl(const std::byte* block, UnpackedBlock& out) {
  out.d = read<Half>(block);
  read_nibbles(block + 2, out);
}

constexpr int32_t kSuper = 256;

uint8_t byte_at(const std::byte* from, int i) {
  return std::to_integer<uint8_t>(from[i]);
}
/// Bits [shift, shift + n) of a byte.
uint8_t bits_of(uint8_t byte, int shift, int n) {
  return static_cast<uint8_t>(byte >> shift & ((1 << n) - 1));
}

/// Eight scales and eight minima of 6 bits in 12 bytes: bytes 0 to 3 and 4 to 7 have those of the first four groups,
/// and above them two bits each of the others, whose lower four are in bytes 8 to 11.
void read_scales_and_minima(const std::byte* packed, UnpackedSuper& out) {
  for (int j = 0; j < 8; ++j) {
    uint8_t scale = 0, minimum = 0;
    if (j < 4) {
      scale = bits_of(byte_at(packed, j), 0, 6), minimum = bits_of(byte_at(packed, j + 4), 0, 6);
    } else {
      const uint8_t low = byte_at(packed, j + 4);
      scale = static_cast<uint8_t>(bits_of(low, 0, 4) | bits_of(byte_at(packed, j - 4), 6, 2) << 4);
      minimum = static_cast<uint8_t>(bits_of(low, 4, 4) | bits_of(byte_at(packed, j), 6, 2) << 4);
    }
    for (const int g : {2 * j, 2 * j + 1}) out.scales[g] = scale, out.minima[g] = minimum;
  }
}

void unpack_q4_k(const std::byte* block, UnpackedSuper& out) {
  out.d = read<Half>(block), out.m = read<Half>(block + 2);
  read_scales_and_minima(block + 4, out);
  for (int i = 0; i < kSuper; ++i)
    out.quants[i] = bits_of(byte_at(block + 16, i / 64 * 32 + i % 32), i / 32 % 2 * 4, 4);
}

void unpack_q5_k(const std::byte* block, UnpackedSuper& out) {
  out.d = read<Half>(block), out.m = read<Half>(block + 2);
  read_scales_and_minima(block + 4, out);
  for (int i = 0; i < kSuper; ++i) {
    const uint8_t low = bits_of(byte_at(block + 48, i / 64 * 32 + i % 32), i / 32 % 2 * 4, 4);
    out.quants[i] = static_cast<uint8_t>(low | bits_of(byte_at(block + 16, i % 32), i / 32, 1) << 4);
  }
}

void unpack_q6_k(const std::byte* block, UnpackedSuper& out) {
  out.d = read<Half>(block + 208);
  for (int g = 0; g < 16; ++g) out.scales[g] = byte_at(block + 192, g) ^ 0x80;  // int8 + 128
  for (int i = 0; i < kSuper; ++i) {
    const int half = i / 128, j = i % 128;
    const uint8_t low = bits_of(byte_at(block, half * 64 + j % 64), j / 64 * 4, 4);
    out.quants[i] = static_cast<uint8_t>(low | bits_of(byte_at(block + 128, half * 32 + j % 32), j / 32 * 2, 2) << 4);
  }
}

void unpack_q3_k(const std::byte* block, UnpackedSuper& out) {
  out.d = read<Half>(block + 108);
  const std::byte* const packed = block + 96;
  for (int g = 0; g < 16; ++g) {
    const uint8_t low = bits_of(byte_at(packed, g % 8), g / 8 * 4, 4);
    out.scales[g] = static_cast<uint8_t>(low | bits_of(byte_at(packed + 8, g % 4), g / 4 * 2, 2) << 4);
  }
  for (int i = 0; i < kSuper; ++i) {
    const uint8_t low = bits_of(byte_at(block + 32, i / 128 * 32 + i % 32), i % 128 / 32 * 2, 2);
    out.quants[i] = static_cast<uint8_t>(low | bits_of(byte_at(block, i % 32), i / 32, 1) << 2);
  }
}

void unpack_q2_k(const std::byte* block, UnpackedSuper& out) {
  out.d = read<Half>(block + 80), out.m = read<Half>(block + 82);
  for (int g = 0; g < 16; ++g) {
    out.scales[g] = bits_of(byte_at(block, g), 0, 4), out.minima[g] = bits_of(byte_at(block, g), 4, 4);
  }
  for (int i = 0; i < kSuper; ++i) {
    out.quants[i] = bits_of(byte_at(block + 16, i / 128 * 32 + i % 32), i % 128 / 32 * 2, 2);
  }
}

void unpack_iq4_xs(const std::byte* block, UnpackedSuper& out) {
  out.d = read<Half>(block);
  const auto high = read<uint16_t>(block + 2);
  for (int j = 0; j < 8; ++j) {
    const uint8_t low = bits_of(byte_at(block + 4, j / 2), j % 2 * 4, 4);
    out.scales[2 * j] = out.scales[2 * j + 1] = static_cast<uint8_t>(low | (high >> (2 * j) & 3) << 4);
  }
  for (int i = 0; i < kSuper; ++i) {
    out.quants[i] = bits_of(byte_at(block + 8, i / 32 * 16 + i % 16), i / 16 % 2 * 4, 4);
  }
}

constexpr TensorFormat element(TensorType type, std::string_view name, uint32_t id, int32_t bytes,
                               void (*elements)(const std::byte*, int64_t, float*)) {
  return {.type = type, .name = name, .gguf_id = id, .block_size = 1, .block_bytes = bytes, .elements = elements};
}

/// How quants are kept in tiles: their bits, what stands for 0, whether there are minima; where scales share a scale,
/// the columns of each, what stands for a scale of 0 and its bits; whether quants are codes.
struct QuantFormat {
  int32_t bits, offset;
  bool has_minima;
  int32_t scale_cols, scale_offset;
  int32_t scale_bits = 8;
  bool has_codes = false;
};
/// `unpack` takes a block of 32 columns apart, or one of 256 whose scales share a scale.
template <class Unpacked>
constexpr TensorFormat quantised(TensorType type, std::string_view name, uint32_t id, int32_t block_bytes,
                                 void (*unpack)(const std::byte*, Unpacked&), QuantFormat quants) {
  TensorFormat format{.type = type, .name = name, .gguf_id = id, .block_size = kBlock, .block_bytes = block_bytes};
  if constexpr (std::is_same_v<Unpacked, UnpackedSuper>) {
    format.block_size = kSuper, format.unpack_super = unpack;
  } else {
    format.unpack = unpack;
  }
  format.bits = quants.bits, format.offset = quants.offset, format.has_minima = quants.has_minima;
  format.scale_cols = quants.scale_cols, format.scale_offset = quants.scale_offset;
  format.scale_bits = quants.scale_bits, format.has_codes = quants.has_codes;
  return format;
}

constexpr TensorFormat kFormats[] = {
    element(TensorType::f32, "F32", 0, 4, floats),
    element(TensorType::f16, "F16", 1, 2, halves<Half>),
    element(TensorType::bf16, "BF16", 30, 2, halves<BFloat16>),
    quantised(TensorType::q8_0, "Q8_0", 8, 34, unpack_q8_0, {.bits = 8, .offset = 128}),
    quantised(TensorType::q4_0, "Q4_0", 2, 18, unpack_q4_0, {.bits = 4, .offset = 8}),
    quantised(TensorType::q4_1, "Q4_1", 3, 20, unpack_q4_1, {.bits = 4, .offset = 0, .has_minima = true}),
    quantised(TensorType::q5_0, "Q5_0", 6, 22, unpack_q5_0, {.bits = 5, .offset = 16}),
    quantised(TensorType::q5_1, "Q5_1", 7, 24, unpack_q5_1, {.bits = 5, .offset = 0, .has_minima = true}),
    quantised(TensorType::iq4_nl, "IQ4_NL", 20, 18, unpack_iq4_nl, {.bits = 4, .offset = 128, .has_codes = true}),
    quantised(TensorType::q2_k, "Q2_K", 10, 84, unpack_q2_k,
              {.bits = 2, .has_minima = true, .scale_cols = 16, .scale_bits = 4}),
    quantised(TensorType::q3_k, "Q3_K", 11, 110, unpack_q3_k,
              {.bits = 3, .offset = 4, .scale_cols = 16, .scale_offset = 32}),
    quantised(TensorType::q4_k, "Q4_K", 12, 144, unpack_q4_k, {.bits = 4, .has_minima = true, .scale_cols = 32}),
    quantised(TensorType::q5_k, "Q5_K", 13, 176, unpack_q5_k, {.bits = 5, .has_minima = true, .scale_cols = 32}),
    quantised(TensorType::q6_k, "Q6_K", 14, 210, unpack_q6_k,
              {.bits = 6, .offset = 32, .scale_cols = 16, .scale_offset = 128}),
    quantised(TensorType::iq4_xs, "IQ4_XS", 23, 136, unpack_iq4_xs,
              {.bits = 4, .offset = 128, .scale_cols = 32, .scale_offset = 32, .has_codes = true}),
};

constexpr bool table_is_in_order() {
  for (size_t i = 0; i < std::size(kFormats); ++i) {
    if (static_cast<size_t>(kFormats[i].type) != i) return false;
  }
  return true;
}
static_assert(table_is_in_order(), "format_of() indexes the table by type");

}  // namespace

/// value = d (q - offset) + m; the product is exact in float, so this rounds at most once.
void TensorFormat::dequantize(const std::byte* blocks, int64_t n, float* out) const {
  if (elements != nullptr) return elements(blocks, n, out);
  if (unpack_super != nullptr) {
    UnpackedSuper super;
    for (int64_t b = 0; b < n / kSuper; ++b, blocks += block_bytes, out += kSuper) {
      unpack_super(blocks, super);
      for (int i = 0; i < kSuper; ++i) {
        const int g = i / 16;
        const float d = to_float(super.d) * static_cast<float>(super.scales[g] - scale_offset);
        const float m = has_minima ? to_float(super.m) * static_cast<float>(super.minima[g]) : 0.0F;
        out[i] = d * static_cast<float>(number_of(super.quants[i])) - m;
      }
    }
    return;
  }
  UnpackedBlock block;
  for (int64_t b = 0; b < n / kBlock; ++b, blocks += block_bytes, out += kBlock) {
    unpack(blocks, block);
    const float d = to_float(block.d), m = has_minima ? to_float(block.m) : 0.0F;
    for (int i = 0; i < kBlock; ++i) out[i] = d * static_cast<float>(number_of(block.quants[i])) + m;
  }
}

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

TensorView rows_of(const TensorView& matrix, int64_t first, int64_t n) {
  const auto row = static_cast<size_t>(matrix_bytes(matrix.type, 1, matrix.n_col));
  TensorView rows = matrix;
  rows.n_row = n, rows.bytes = matrix.bytes.subspan(static_cast<size_t>(first) * row, static_cast<size_t>(n) * row);
  return rows;
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
