// A packed matrix: tiles of 16 interleaved rows.
#pragma once
#include "kernels/cpu/aligned.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/table.h"

namespace reattend::cpu {

struct Matrix::Data {
  TileLayout layout{};
  int64_t n_row = 0, n_tile = 0;
  Aligned<std::byte> tiles;  ///< [n_tile][layout.tile_bytes]
  explicit Data(std::pmr::memory_resource* memory) : tiles(memory) {}
};

}  // namespace reattend::cpu
