// Packs a matrix of the model file into tiles of 16 interleaved rows, and reads single rows back.
#include "kernels/cpu/matrix.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "base/error.h"
#include "base/half.h"

namespace reattend {
namespace {

using namespace cpu;

constexpr int64_t round_up(int64_t n, int64_t to) {
  return (n + to - 1) / to * to;
}

TileLayout layout_of(TensorType type, int64_t n_col) {
  const TensorFormat& format = format_of(type);
  TileLayout layout{.type = type,
                    .n_col = n_col,
                    .n_block = n_col / kBlockCols,
                    .bits = format.bits,
                    .offset = format.offset,
                    .has_minima = format.has_minima,
                    .scale_cols = format.scale_cols,
                    .scale_offset = format.scale_offset,
                    .scale_bits = format.scale_bits,
                    .has_codes = format.has_codes};
  layout.quant_bytes = kBlockCols * kTileRows * format.bits / 8;
  layout.scales_at = layout.n_block * layout.quant_bytes;
  if (!format.is_quantised()) {
    layout.tile_bytes = n_col * kTileRows * format.block_bytes;
  } else if (format.scale_cols > 0) {
    const int64_t n_half = format.has_minima ? 2 : 1, n_byte = format.scale_bits == 4 ? 1 : n_half;
    layout.super_bytes = kTileRows * (n_half * int64_t{sizeof(Half)} + n_byte * kSuperCols / format.scale_cols);
    layout.tile_bytes = layout.scales_at + n_col / kSuperCols * layout.super_bytes;
  } else {
    const int64_t scale_bytes = layout.n_block * kTileRows * 2;
    layout.minima_at = layout.scales_at + scale_bytes;
    layout.tile_bytes = layout.minima_at + (format.has_minima ? scale_bytes : 0);
  }
  layout.tile_bytes = round_up(layout.tile_bytes, 64);  // tiles begin on cache lines
  return layout;
}

/// Bits [from, from + kBits) of 32 quants of one row into its lane of a plane, as TileLayout has it.
template <int kBits>
void pack_plane(const uint8_t* quants, int from, std::byte* lane) {
  for (int line = 0; line < kBits; ++line) {
    for (int j = 0; j < 4; ++j) {
      int byte = 0;
      for (int i = 0; i < 8 / kBits; ++i) {
        byte |= (quants[4 * (i * kBits + line) + j] >> from & ((1 << kBits) - 1)) << (i * kBits);
      }
      lane[line * 64 + j] = static_cast<std::byte>(byte);
    }
  }
}
/// The other way; quants hold zeros there.
template <int kBits>
void unpack_plane(const std::byte* lane, int from, uint8_t* quants) {
  for (int c = 0; c < kBlockCols; ++c) {
    const int k = c / 4, byte = std::to_integer<int>(lane[k % kBits * 64 + c % 4]);
    quants[c] = static_cast<uint8_t>(quants[c] | (byte >> k / kBits * kBits & ((1 << kBits) - 1)) << from);
  }
}

/// Calls act<bits of a plane>(where the row's lane of it begins, its first bit of a quant) for the planes of block b.
template <class Byte, class Act>
void for_planes(const TileLayout& layout, Byte* tile, int64_t b, int row, Act act) {
  const int low = low_bits(layout.bits);
  Byte* const lane = tile + b * layout.quant_bytes + row * 4;
  low == 8   ? act.template operator()<8>(lane, 0)
  : low == 4 ? act.template operator()<4>(lane, 0)
             : act.template operator()<2>(lane, 0);
  if (layout.bits - low == 1) act.template operator()<1>(lane + low * 64, low);
  if (layout.bits - low == 2) act.template operator()<2>(lane + low * 64, low);
}

/// 32 quants of one row into its lane of block b.
void pack_quants(const TileLayout& layout, const uint8_t* quants, int64_t b, int row, std::byte* tile) {
  for_planes(layout, tile, b, row,
             [&]<int kBits>(std::byte* lane, int from) { pack_plane<kBits>(quants, from, lane); });
}

/// The other way.
void unpack_quants(const TileLayout& layout, const std::byte* tile, int64_t b, int row, uint8_t* quants) {
  std::fill_n(quants, kBlockCols, uint8_t{0});
  for_planes(layout, tile, b, row,
             [&]<int kBits>(const std::byte* lane, int from) { unpack_plane<kBits>(lane, from, quants); });
}

/// Half `i` of the 16 rows' at `at`.
Half half_at(const std::byte* tile, int64_t at, int64_t i) {
  Half half;
  std::memcpy(&half, tile + at + i * 2, 2);
  return half;
}
void put_half(Half half, std::byte* tile, int64_t at, int64_t i) {
  std::memcpy(tile + at + i * 2, &half, 2);
}

/// One block of one row into its lane of the tile.
void pack_block(const TileLayout& layout, const UnpackedBlock& block, int64_t b, int row, std::byte* tile) {
  put_half(block.d, tile, layout.scales_at, b * kTileRows + row);
  if (layout.has_minima) put_half(block.m, tile, layout.minima_at, b * kTileRows + row);
  pack_quants(layout, block.quants, b, row, tile);
}

void unpack_block(const TileLayout& layout, const std::byte* tile, int64_t b, int row, float* out) {
  const float d = to_float(half_at(tile, layout.scales_at, b * kTileRows + row));
  const float m = layout.has_minima ? to_float(half_at(tile, layout.minima_at, b * kTileRows + row)) : 0.0F;
  uint8_t quants[kBlockCols];
  unpack_quants(layout, tile, b, row, quants);
  const TensorFormat& format = format_of(layout.type);
  for (int i = 0; i < kBlockCols; ++i) out[i] = d * static_cast<float>(format.number_of(quants[i])) + m;
}

/// Where the byte of a group's scale lies, from the beginning of a super-block's.
int64_t scale_at(const TileLayout& layout, int64_t group, int row) {
  return (layout.has_minima ? 4 : 2) * kTileRows + group / 4 * (4 * kTileRows) + row * 4 + group % 4;
}
/// That of its minimum, if there are any.
int64_t minimum_at(const TileLayout& layout, int64_t group, int row) {
  const int64_t behind = layout.scale_bits == 4 ? 0 : kSuperCols / layout.scale_cols * kTileRows;
  return scale_at(layout, group, row) + behind;
}

/// One super-block of one row into its lane of the tile.
void pack_super(const TileLayout& layout, const UnpackedSuper& super, int64_t s, int row, std::byte* tile) {
  const int64_t at = layout.scales_at + s * layout.super_bytes, n_group = kSuperCols / layout.scale_cols;
  put_half(super.d, tile, at, row);
  if (layout.has_minima) put_half(super.m, tile, at, kTileRows + row);
  for (int64_t g = 0; g < n_group; ++g) {
    const int64_t from = g * layout.scale_cols / 16;
    tile[at + scale_at(layout, g, row)] = static_cast<std::byte>(super.scales[from]);
    if (!layout.has_minima) continue;
    tile[at + minimum_at(layout, g, row)] |= static_cast<std::byte>(super.minima[from] << (8 - layout.scale_bits));
  }
  constexpr int kBlocks = kSuperCols / kBlockCols;
  for (int b = 0; b < kBlocks; ++b) pack_quants(layout, super.quants + b * kBlockCols, s * kBlocks + b, row, tile);
}

void unpack_super(const TileLayout& layout, const std::byte* tile, int64_t s, int row, float* out) {
  const int64_t at = layout.scales_at + s * layout.super_bytes;
  const float d = to_float(half_at(tile, at, row));
  const float m = layout.has_minima ? to_float(half_at(tile, at, kTileRows + row)) : 0.0F;
  uint8_t quants[kSuperCols];
  constexpr int kBlocks = kSuperCols / kBlockCols;
  for (int b = 0; b < kBlocks; ++b) unpack_quants(layout, tile, s * kBlocks + b, row, quants + b * kBlockCols);
  const TensorFormat& format = format_of(layout.type);
  for (int i = 0; i < kSuperCols; ++i) {
    const int64_t g = i / layout.scale_cols;
    const int scale = std::to_integer<int>(tile[at + scale_at(layout, g, row)]) & ((1 << layout.scale_bits) - 1);
    float minimum = 0;
    if (layout.has_minima) {
      minimum = m * static_cast<float>(std::to_integer<int>(tile[at + minimum_at(layout, g, row)]) >>
                                       (8 - layout.scale_bits));
    }
    out[i] =
        d * static_cast<float>(scale - layout.scale_offset) * static_cast<float>(format.number_of(quants[i])) - minimum;
  }
}

}  // namespace

Cpu::Matrix::Matrix() = default;
Cpu::Matrix::~Matrix() = default;
Cpu::Matrix::Matrix(Matrix&&) noexcept = default;
Cpu::Matrix& Cpu::Matrix::operator=(Matrix&&) noexcept = default;

int64_t Cpu::Matrix::n_row() const {
  return data ? data->n_row : 0;
}
int64_t Cpu::Matrix::n_col() const {
  return data ? data->layout.n_col : 0;
}
TensorType Cpu::Matrix::type() const {
  return data ? data->layout.type : TensorType::f32;
}
int64_t Cpu::Matrix::bytes() const {
  return data ? data->n_tile * data->layout.tile_bytes : 0;
}

void Cpu::Matrix::row(int64_t row, float* out) const {
  const TileLayout& layout = data->layout;
  const std::byte* tile = data->tiles.get() + row / kTileRows * layout.tile_bytes;
  const int lane = static_cast<int>(row % kTileRows);
  if (layout.scale_cols > 0) {
    for (int64_t s = 0; s < layout.n_col / kSuperCols; ++s) unpack_super(layout, tile, s, lane, out + s * kSuperCols);
    return;
  }
  if (layout.bits > 0) {
    for (int64_t b = 0; b < layout.n_block; ++b) unpack_block(layout, tile, b, lane, out + b * kBlockCols);
    return;
  }
  const TensorFormat& format = format_of(layout.type);
  for (int64_t c = 0; c < layout.n_col; ++c) {
    format.dequantize(tile + (c * kTileRows + lane) * format.block_bytes, 1, out + c);
  }
}

int64_t Cpu::packed_bytes(const TensorView& tensor) {
  return (tensor.n_row + kTileRows - 1) / kTileRows * layout_of(tensor.type, tensor.n_col).tile_bytes;
}

Cpu::Matrix Cpu::pack(const TensorView& tensor, std::pmr::memory_resource* memory) {
  const int64_t bytes = matrix_bytes(tensor.type, tensor.n_row, tensor.n_col);
  if (static_cast<int64_t>(tensor.bytes.size()) != bytes) {
    fail({.where = "tensor '" + std::string(tensor.name) + "'",
          .expected = std::to_string(bytes) + " bytes",
          .got = std::to_string(tensor.bytes.size()),
          .remedy = ""});
  }
  Matrix matrix;
  matrix.data = std::make_unique<Matrix::Data>(memory);
  Matrix::Data& data = *matrix.data;
  data.layout = layout_of(tensor.type, tensor.n_col);
  data.n_row = tensor.n_row;
  data.n_tile = (tensor.n_row + kTileRows - 1) / kTileRows;
  data.tiles.reserve(data.n_tile * data.layout.tile_bytes);
  const TensorFormat& format = format_of(tensor.type);
  const std::byte* from = tensor.bytes.data();
  UnpackedBlock block;
  UnpackedSuper super;
  for (int64_t row = 0; row < data.n_tile * kTileRows; ++row) {
    std::byte* tile = data.tiles.get() + row / kTileRows * data.layout.tile_bytes;
    const int lane = static_cast<int>(row % kTileRows);
    if (lane == 0) std::memset(tile, 0, static_cast<size_t>(data.layout.tile_bytes));
    if (row >= tensor.n_row) continue;  // lanes that pad the last tile have scale 0
    for (int64_t b = 0; b < tensor.n_col / format.block_size; ++b, from += format.block_bytes) {
      if (format.unpack_super != nullptr) {
        format.unpack_super(from, super);
        pack_super(data.layout, super, b, lane, tile);
      } else if (format.unpack != nullptr) {
        format.unpack(from, block);
        pack_block(data.layout, block, b, lane, tile);
      } else {
        std::memcpy(tile + (b * kTileRows + lane) * format.block_bytes, from, static_cast<size_t>(format.block_bytes));
      }
    }
  }
  return matrix;
}

}  // namespace reattend
