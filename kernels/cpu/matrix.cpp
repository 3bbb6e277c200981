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
                    .scale_offset = format.scale_offset};
  layout.quant_bytes = kBlockCols * kTileRows * format.bits / 8;
  layout.scales_at = layout.n_block * layout.quant_bytes;
  if (!format.is_quantised()) {
    layout.tile_bytes = n_col * kTileRows * format.block_bytes;
  } else if (format.scale_cols > 0) {
    const int64_t bytes = kSuperCols / format.scale_cols * kTileRows;  // of the scales, and of the minima
    layout.super_bytes = 2 * kTileRows * int64_t{sizeof(Half)} + (format.has_minima ? 2 : 1) * bytes;
    layout.tile_bytes = layout.scales_at + n_col / kSuperCols * layout.super_bytes;
  } else {
    const int64_t scale_bytes = layout.n_block * kTileRows * 2;
    layout.minima_at = layout.scales_at + scale_bytes;
    layout.tile_bytes = layout.minima_at + (format.has_minima ? scale_bytes : 0);
  }
  layout.tile_bytes = round_up(layout.tile_bytes, 64);  // tiles begin on cache lines
  return layout;
}

/// Where byte i of a row's quants lies in its lane of block b: rows are interleaved by four bytes. 8 bits: byte i is
/// column i; 4 bits: column i in its low and i + 16 in its high half.
int64_t quant_at(const TileLayout& layout, int64_t b, int row, int64_t i) {
  return b * layout.quant_bytes + i / 4 * 64 + row * 4 + i % 4;
}

/// 32 quants of one row into its lane of block b.
void pack_quants(const TileLayout& layout, const uint8_t* quants, int64_t b, int row, std::byte* tile) {
  for (int64_t i = 0; i < layout.quant_bytes / kTileRows; ++i) {
    const int high = layout.bits == 4 ? quants[i + kBlockCols / 2] << 4 : 0;
    tile[quant_at(layout, b, row, i)] = static_cast<std::byte>(quants[i] | high);
  }
}

/// The other way.
void unpack_quants(const TileLayout& layout, const std::byte* tile, int64_t b, int row, uint8_t* quants) {
  const int64_t n_byte = layout.quant_bytes / kTileRows;
  for (int i = 0; i < kBlockCols; ++i) {
    const auto byte = std::to_integer<uint8_t>(tile[quant_at(layout, b, row, i % n_byte)]);
    quants[i] = static_cast<uint8_t>(layout.bits == 4 ? byte >> (i / 16 * 4) & 15 : byte);
  }
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
  for (int i = 0; i < kBlockCols; ++i) out[i] = d * static_cast<float>(quants[i] - layout.offset) + m;
}

/// Where the byte of a group's scale lies, from the beginning of a super-block's; its minimum's, scale_bytes behind.
int64_t scale_at(int64_t group, int row) {
  return 4 * kTileRows + group / 4 * (4 * kTileRows) + row * 4 + group % 4;
}

/// One super-block of one row into its lane of the tile.
void pack_super(const TileLayout& layout, const UnpackedSuper& super, int64_t s, int row, std::byte* tile) {
  const int64_t at = layout.scales_at + s * layout.super_bytes, n_group = kSuperCols / layout.scale_cols;
  put_half(super.d, tile, at, row);
  if (layout.has_minima) put_half(super.m, tile, at, kTileRows + row);
  for (int64_t g = 0; g < n_group; ++g) {
    const int64_t from = g * layout.scale_cols / 16;
    tile[at + scale_at(g, row)] = static_cast<std::byte>(super.scales[from]);
    if (layout.has_minima)
      tile[at + n_group * kTileRows + scale_at(g, row)] = static_cast<std::byte>(super.minima[from]);
  }
  constexpr int kBlocks = kSuperCols / kBlockCols;
  for (int b = 0; b < kBlocks; ++b) pack_quants(layout, super.quants + b * kBlockCols, s * kBlocks + b, row, tile);
}

void unpack_super(const TileLayout& layout, const std::byte* tile, int64_t s, int row, float* out) {
  const int64_t at = layout.scales_at + s * layout.super_bytes, n_group = kSuperCols / layout.scale_cols;
  const float d = to_float(half_at(tile, at, row));
  const float m = layout.has_minima ? to_float(half_at(tile, at, kTileRows + row)) : 0.0F;
  uint8_t quants[kSuperCols];
  constexpr int kBlocks = kSuperCols / kBlockCols;
  for (int b = 0; b < kBlocks; ++b) unpack_quants(layout, tile, s * kBlocks + b, row, quants + b * kBlockCols);
  for (int i = 0; i < kSuperCols; ++i) {
    const int64_t g = at + scale_at(i / layout.scale_cols, row);
    const float scale = d * static_cast<float>(std::to_integer<int>(tile[g]) - layout.scale_offset);
    const float minimum =
        layout.has_minima ? m * static_cast<float>(std::to_integer<int>(tile[g + n_group * kTileRows])) : 0.0F;
    out[i] = scale * static_cast<float>(quants[i] - layout.offset) - minimum;
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
