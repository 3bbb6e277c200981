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

bool is_quantised(TensorType type) {
  return format_of(type).block_size == kBlockCols;
}
constexpr int64_t round_up(int64_t n, int64_t to) {
  return (n + to - 1) / to * to;
}

TileLayout layout_of(TensorType type, int64_t n_col) {
  TileLayout layout{.type = type, .n_col = n_col, .n_block = n_col / kBlockCols};
  if (is_quantised(type)) {
    const int64_t scale_bytes = layout.n_block * kTileRows * 2;
    layout.quant_bytes = (type == TensorType::q8_0 ? kBlockCols : kBlockCols / 2) * kTileRows;
    layout.scales_at = layout.n_block * layout.quant_bytes;
    layout.minima_at = layout.scales_at + scale_bytes;
    layout.tile_bytes = layout.minima_at + (type == TensorType::q4_1 ? scale_bytes : 0);
  } else {
    layout.tile_bytes = n_col * kTileRows * format_of(type).block_bytes;
  }
  layout.tile_bytes = round_up(layout.tile_bytes, 64);  // tiles begin on cache lines
  return layout;
}

/// One block of one row into its lane of the tile. File blocks begin with their scale, then q4_1's minimum.
void pack_block(const TileLayout& layout, const std::byte* block, int64_t b, int row, std::byte* tile) {
  const auto put_half = [&](const std::byte* from, int64_t at) {
    std::memcpy(tile + at + (b * kTileRows + row) * 2, from, 2);
  };
  put_half(block, layout.scales_at);
  if (layout.type == TensorType::q4_1) put_half(block + 2, layout.minima_at);
  const std::byte* quants = block + (layout.type == TensorType::q4_1 ? 4 : 2);
  // q8_0 is stored as q + 128: the dot product instructions take unsigned weights.
  const std::byte flip{static_cast<uint8_t>(layout.type == TensorType::q8_0 ? 0x80 : 0)};
  for (int64_t i = 0; i < layout.quant_bytes / kTileRows; ++i) {
    tile[b * layout.quant_bytes + i / 4 * 64 + row * 4 + i % 4] = quants[i] ^ flip;
  }
}

void unpack_block(const TileLayout& layout, const std::byte* tile, int64_t b, int row, float* out) {
  const auto half = [&](int64_t at) {
    Half bits;
    std::memcpy(&bits, tile + at + (b * kTileRows + row) * 2, 2);
    return to_float(bits);
  };
  const float d = half(layout.scales_at);
  const auto quant = [&](int64_t i) {
    return std::to_integer<int>(tile[b * layout.quant_bytes + i / 4 * 64 + row * 4 + i % 4]);
  };
  for (int i = 0; i < kBlockCols; ++i) {
    if (layout.type == TensorType::q8_0) {
      out[i] = d * static_cast<float>(quant(i) - 128);
    } else {
      const int nibble = quant(i % 16) >> (i / 16 * 4) & 15;
      out[i] = layout.type == TensorType::q4_0 ? d * static_cast<float>(nibble - 8)
                                               : d * static_cast<float>(nibble) + half(layout.minima_at);
    }
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
  if (is_quantised(layout.type)) {
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
  for (int64_t row = 0; row < data.n_tile * kTileRows; ++row) {
    std::byte* tile = data.tiles.get() + row / kTileRows * data.layout.tile_bytes;
    const int lane = static_cast<int>(row % kTileRows);
    if (lane == 0) std::memset(tile, 0, static_cast<size_t>(data.layout.tile_bytes));
    if (row >= tensor.n_row) continue;  // lanes that pad the last tile have scale 0
    for (int64_t b = 0; b < tensor.n_col / format.block_size; ++b, from += format.block_bytes) {
      if (is_quantised(tensor.type)) {
        pack_block(data.layout, from, b, lane, tile);
      } else {
        std::memcpy(tile + (b * kTileRows + lane) * format.block_bytes, from, static_cast<size_t>(format.block_bytes));
      }
    }
  }
  return matrix;
}

}  // namespace reattend
