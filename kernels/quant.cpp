// The table of weight formats, and how each is taken apart.
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
  static constexpr int8_t kValues[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
  out.d = read<Half>(block);
  read_nibbles(block + 2, out);
  for (uint8_t& quant : out.quants) quant = static_cast<uint8_t>(kValues[quant] + 128);
}

constexpr TensorFormat element(TensorType type, std::string_view name, uint32_t id, int32_t bytes,
                               void (*elements)(const std::byte*, int64_t, float*)) {
  return {.type = type, .name = name, .gguf_id = id, .block_size = 1, .block_bytes = bytes, .elements = elements};
}

/// How 32 columns that share a scale are kept in tiles: bits of a quant, what stands for 0, whether there is a minimum.
struct Quants {
  int32_t bits, offset;
  bool has_minima;
};
constexpr TensorFormat quantised(TensorType type, std::string_view name, uint32_t id, int32_t block_bytes,
                                 void (*unpack)(const std::byte*, UnpackedBlock&), Quants quants) {
  return {.type = type,
          .name = name,
          .gguf_id = id,
          .block_size = kBlock,
          .block_bytes = block_bytes,
          .unpack = unpack,
          .bits = quants.bits,
          .offset = quants.offset,
          .has_minima = quants.has_minima};
}

constexpr TensorFormat kFormats[] = {
    element(TensorType::f32, "F32", 0, 4, floats),
    element(TensorType::f16, "F16", 1, 2, halves<Half>),
    element(TensorType::bf16, "BF16", 30, 2, halves<BFloat16>),
    quantised(TensorType::q8_0, "Q8_0", 8, 34, unpack_q8_0, {.bits = 8, .offset = 128}),
    quantised(TensorType::q4_0, "Q4_0", 2, 18, unpack_q4_0, {.bits = 4, .offset = 8}),
    quantised(TensorType::q4_1, "Q4_1", 3, 20, unpack_q4_1, {.bits = 4, .offset = 0, .has_minima = true}),
    quantised(TensorType::q5_0, "Q5_0", 6, 22, unpack_q5_0, {.bits = 8, .offset = 16}),
    quantised(TensorType::q5_1, "Q5_1", 7, 24, unpack_q5_1, {.bits = 8, .offset = 0, .has_minima = true}),
    quantised(TensorType::iq4_nl, "IQ4_NL", 20, 18, unpack_iq4_nl, {.bits = 8, .offset = 128}),
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
  UnpackedBlock block;
  for (int64_t b = 0; b < n / kBlock; ++b, blocks += block_bytes, out += kBlock) {
    unpack(blocks, block);
    const float d = to_float(block.d), m = has_minima ? to_float(block.m) : 0.0F;
    for (int i = 0; i < kBlock; ++i) out[i] = d * static_cast<float>(block.quants[i] - offset) + m;
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
