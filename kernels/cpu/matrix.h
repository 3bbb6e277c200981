// A packed matrix: tiles of 16 interleaved rows.
#pragma once
#include "kernels/cpu/aligned.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/table.h"

namespace reattend {

struct Cpu::Matrix::Data {
  cpu::TileLayout layout{};
  int64_t n_row = 0, n_tile = 0;
  cpu::Aligned<std::byte> tiles;  ///< [n_tile][layout.tile_bytes]
  explicit Data(std::pmr::memory_resource* memory) : tiles(memory) {}
};

}  // namespace reattend
