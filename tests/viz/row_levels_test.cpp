// Levels of detail: a picture of rows shows what the cells under its pixels hold, from whichever level it is drawn.
#include <gtest/gtest.h>

#include <random>

#include "viz/render/row_levels.h"

namespace reattend::viz {
namespace {

using Tiles = std::vector<std::shared_ptr<const RowTile>>;

float weight_at(int32_t step, int32_t position) {
  uint32_t bits = static_cast<uint32_t>(step) * 2654435761U ^ static_cast<uint32_t>(position) * 2246822519U;
  bits = (bits ^ bits >> 15) * 2654435761U;
  const float x = static_cast<float>(bits >> 8) / 16'777'216;
  return position < 2 ? 1 + x : x * x * x * x;
}

RowTile make_tile(int32_t first_step, int32_t n_row, int32_t n_prompt) {
  RowTile tile{.first_step = first_step, .n_row = n_row, .n_prompt = n_prompt, .weights = {}, .levels = {}};
  for (int32_t t = first_step; t < first_step + n_row; ++t) {
    for (int32_t p = 0; p < tile.n_position(); ++p) {
      tile.weights.push_back(p < tile.n_weight(t) ? weight_at(t, p) : kNoCell);
    }
  }
  tile.make_levels();
  return tile;
}

constexpr int32_t kSteps = 150, kPrompt = 1003;

/// Three tiles; of the second, or of all, only the coarse levels.
Tiles make_tiles(bool coarse_middle, bool all_coarse = false) {
  Tiles tiles;
  for (int32_t first = 1; first <= kSteps; first += kTileSteps) {
    const RowTile tile = make_tile(first, std::min(kTileSteps, kSteps - first + 1), kPrompt);
    const bool coarse = all_coarse || (coarse_middle && first > 1 && first + kTileSteps <= kSteps);
    tiles.push_back(std::make_shared<const RowTile>(coarse ? tile.coarse() : tile));
  }
  return tiles;
}

struct Brute {
  float largest = kNoCell;
  double sum = 0;
  int64_t n = 0;
};
Brute brute(const std::vector<CellsOfPixel>& parts, int32_t first_position) {
  Brute out;
  for (const CellsOfPixel& cells : parts) {
    for (int32_t t = cells.steps.first; t <= cells.steps.last; ++t) {
      for (int32_t p = cells.begin; p < std::min(cells.end, kPrompt + t); ++p) {
        ++out.n;
        if (p < first_position) continue;
        out.largest = std::max(out.largest, weight_at(t, p)), out.sum += weight_at(t, p);
      }
    }
  }
  return out;
}

int64_t count(const std::vector<CellsOfPixel>& parts) {
  int64_t n = 0;
  for (const CellsOfPixel& cells : parts) n += cells.n_cell;
  return n;
}

// Whatever part is in view at whatever size: the value of a pixel is the largest weight of the cells that the tooltip
// says lie under it, their sum is theirs, and the place of the strongest is where it is.
TEST(RowLevels, PixelsShowWhatTheirCellsHoldAtRandomWindows) {
  std::mt19937 random(3);
  const auto draw = [&](int32_t low, int32_t high) { return std::uniform_int_distribution(low, high)(random); };
  const Tiles sorts[] = {make_tiles(false), make_tiles(true), make_tiles(false, true)};
  ReducedPixels pixels;
  for (int i = 0; i < 60; ++i) {
    const Tiles& tiles = sorts[i % 3];
    const int32_t width = draw(1, 60), height = draw(1, 40);
    const double low = draw(-20, 900), row = draw(-5, 120);
    const HeatView view = {low, low + draw(1, 1400), row + 0.3, row + 0.3 + draw(1, 160)};
    const bool without_sinks = i % 2 == 1;
    reduce_tiles(tiles, view, width, height, without_sinks, pixels);
    for (int32_t y = 0; y < height; ++y) {
      for (int32_t x = 0; x < width; ++x) {
        const std::vector<CellsOfPixel> cells = cells_of_pixel(tiles, view, width, height, x, y);
        const Brute expected = brute(cells, without_sinks ? kMaskedSinks : 0);
        ASSERT_EQ(count(cells), expected.n) << "the tooltip counts cells that exist";
        const auto at = static_cast<size_t>(y * width + x);
        ASSERT_EQ(pixels.largest[at], expected.largest) << i << ": " << x << ' ' << y;
        // Up to 200,000 floats one after the other, each sum rounded to one part in 2^24.
        ASSERT_NEAR(pixels.sums[at], expected.sum, 1e-3 * (1 + expected.sum));
        if (expected.largest == kNoCell) continue;
        ASSERT_EQ(weight_at(pixels.cells[at].step, pixels.cells[at].position), expected.largest);
      }
    }
  }
}

// A peak that no pixel showed would be lost to the user: every cell in view lies under one pixel, and under one only.
TEST(RowLevels, EveryCellLiesUnderOnePixel) {
  for (const auto& [width, height] : {std::pair{70, 30}, std::pair{100, 50}, std::pair{20, 3}}) {
    const Tiles tiles = make_tiles(true);
    const HeatView all = {0, kPrompt + kSteps, 0, kSteps};
    int64_t n = 0, expected = 0;
    for (int32_t y = 0; y < height; ++y) {
      for (int32_t x = 0; x < width; ++x) n += count(cells_of_pixel(tiles, all, width, height, x, y));
    }
    for (int32_t t = 1; t <= kSteps; ++t) expected += kPrompt + t;
    // Rows of a tile whose blocks are larger than the pixels are shown more than once.
    const bool larger = kSteps / height < kLevels[kFineLevels].rows;
    if (larger) {
      EXPECT_GE(n, expected);
    } else {
      EXPECT_EQ(n, expected);
    }
  }
}

// What a picture costs does not grow with the context.
TEST(RowLevels, APictureReadsAFewBlocksAPixel) {
  for (const double cells : {8'192.0, 36'864.0, 131'072.0}) {
    for (const double steps : {512.0, 4'096.0}) {
      constexpr int32_t kWidth = 900, kHeight = 300;
      const LevelShape shape = kLevels[level_for({0, cells, 0, steps}, kWidth, kHeight)];
      const double blocks = cells / shape.columns * (steps / shape.rows);
      EXPECT_LE(blocks / (kWidth * kHeight), 64) << cells << " x " << steps;
      EXPECT_LE(shape.columns, cells / kWidth) << "no block is wider than a pixel";
    }
  }
}

TEST(RowLevels, CoarseLevelsTakeWhatIsSaid) {
  const RowTile tile = make_tile(1, kTileSteps, kPrompt);
  EXPECT_EQ(tile.coarse().bytes(), coarse_bytes(tile.n_row, tile.n_position()));
  EXPECT_EQ(tile.bytes() - tile.coarse().bytes(), exact_bytes(tile.n_row, tile.n_position()));
  EXPECT_LT(tile.coarse().bytes() * 20, tile.bytes());
}

}  // namespace
}  // namespace reattend::viz
