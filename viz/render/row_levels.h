// Attention rows of a few steps with levels of detail: of blocks of cells the largest weight, where it lies, and the
// sum. A picture reads blocks as large as its pixels, so it costs the same however long the context is.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "replay/prepared.h"
#include "viz/render/heatmap.h"

namespace reattend::viz {

struct LevelShape {
  int32_t rows = 1, columns = 1;  ///< cells of a block
};
/// The finest first; level 0 are the weights themselves. From 2 on they take a 24th of the weights' memory. A picture
/// of thousands of steps reads some tens of blocks a pixel where it is zoomed along one axis alone, a few otherwise.
inline constexpr std::array<LevelShape, 5> kLevels = {{{1, 1}, {1, 8}, {4, 16}, {16, 64}, {64, 256}}};
/// Those that are there only while the weights are.
inline constexpr size_t kFineLevels = 2;
inline constexpr int32_t kTileSteps = 64;
inline constexpr float kNoCell = -1;  ///< stands where a row has no cell: weights are never negative
/// Positions that are left out of pictures without sinks.
inline constexpr int32_t kMaskedSinks = 4;

/// Of level `l`: [ceil(n_row / rows)][n_column + 1]; the last entry of a row is its first block without the sinks.
struct RowLevel {
  int32_t n_column = 0;
  std::vector<float> largest, sum;
  std::vector<uint16_t> place;  ///< of the largest in its block: row * columns + column
  size_t at(int32_t row, int32_t column) const {
    return static_cast<size_t>(row) * static_cast<size_t>(n_column + 1) + static_cast<size_t>(column);
  }
  int64_t bytes() const { return static_cast<int64_t>(largest.size() * (2 * sizeof(float) + sizeof(uint16_t))); }
};

/// Rows of steps first_step .. first_step + n_row - 1; first_step - 1 is a multiple of kTileSteps.
struct RowTile {
  int32_t layer = 0, kv_head = 0, first_step = 1, n_row = 0, n_prompt = 0;
  std::vector<float> weights;                   ///< [n_row][n_position()] kNoCell behind a row's end; or empty
  std::array<RowLevel, kLevels.size()> levels;  ///< of 0 nothing, of those below kFineLevels only with the weights

  int32_t n_position() const { return n_prompt + first_step + n_row - 1; }  ///< of its last row
  int32_t n_weight(int32_t step) const { return n_prompt + step; }
  Steps steps() const { return {first_step, first_step + n_row - 1}; }
  bool exact() const { return !weights.empty(); }
  const float* row_of_step(int32_t step) const { return weights.data() + int64_t{step - first_step} * n_position(); }
  int64_t bytes() const;
  /// Of the weights.
  void make_levels();
  /// The same without what takes most memory.
  RowTile coarse() const;
  /// Whether it has the level.
  bool has(size_t level) const { return level >= kFineLevels || exact(); }
};
/// What the levels of a tile take that has no weights, and what those take beside them.
int64_t coarse_bytes(int64_t n_row, int64_t n_position);
int64_t exact_bytes(int64_t n_row, int64_t n_position);

struct HeatCell {
  int32_t step = 0, position = 0;
};
struct ReducedPixels {
  int32_t width = 0, height = 0;
  std::vector<float> largest;   ///< [height][width]; kNoCell where there is none
  std::vector<float> sums;      ///< [height][width] of all cells under the pixel
  std::vector<HeatCell> cells;  ///< [height][width] where the largest are
};

/// The coarsest level whose blocks are no larger than a pixel.
size_t level_for(const HeatView& view, int32_t width, int32_t height);

/// Tiles [n_tile], null where they are not read. In `view`, row 0 is step 1. Every block of a tile belongs to one
/// pixel; where a pixel is smaller than a block it shows the block under its centre.
void reduce_tiles(std::span<const std::shared_ptr<const RowTile>> tiles, const HeatView& view, int32_t width,
                  int32_t height, bool without_sinks, ReducedPixels& out);

/// Cells that a pixel stands for: steps first .. last, positions begin .. end - 1.
struct CellsOfPixel {
  Steps steps;
  int32_t begin = 0, end = 0;
  int64_t n_cell = 0;  ///< that exist: rows end
};
/// Those of pixel (x, y) in reduce_tiles(), a part for each tile that it lies on.
std::vector<CellsOfPixel> cells_of_pixel(std::span<const std::shared_ptr<const RowTile>> tiles, const HeatView& view,
                                         int32_t width, int32_t height, int32_t x, int32_t y);

}  // namespace reattend::viz
