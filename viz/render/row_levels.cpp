// Builds levels one from the other, and finds the strongest block under each pixel.
#include "viz/render/row_levels.h"

#include <algorithm>
#include <optional>

namespace reattend::viz {
namespace {

int32_t n_block(int32_t n_cell, int32_t cells) {
  return (n_cell + cells - 1) / cells;
}

int64_t level_bytes(size_t level, int64_t n_row, int64_t n_position) {
  const LevelShape shape = kLevels[level];
  const int64_t rows = (n_row + shape.rows - 1) / shape.rows,
                columns = (n_position + shape.columns - 1) / shape.columns;
  return rows * (columns + 1) * static_cast<int64_t>(2 * sizeof(float) + sizeof(uint16_t));
}

/// The block of one level that gathers blocks of the level below.
struct Gathered {
  float largest = kNoCell, sum = 0;
  int32_t place = 0;
  void add(float other_largest, float other_sum, int32_t other_place) {
    if (other_largest == kNoCell) return;
    sum += other_sum;
    if (other_largest > largest) largest = other_largest, place = other_place;
  }
  void store(RowLevel& level, size_t at) const {
    level.largest[at] = largest, level.sum[at] = largest == kNoCell ? 0 : sum;
    level.place[at] = static_cast<uint16_t>(place);
  }
};

RowLevel sized(const LevelShape& shape, int32_t n_row, int32_t n_position) {
  RowLevel out{.n_column = n_block(n_position, shape.columns)};
  const auto n = static_cast<size_t>(n_block(n_row, shape.rows)) * static_cast<size_t>(out.n_column + 1);
  out.largest.resize(n), out.sum.resize(n), out.place.resize(n);
  return out;
}

/// Level 1: runs of cells of single rows.
RowLevel from_weights(const RowTile& tile) {
  constexpr LevelShape kShape = kLevels[1];
  const int32_t n_position = tile.n_position();
  RowLevel out = sized(kShape, tile.n_row, n_position);
  for (int32_t row = 0; row < tile.n_row; ++row) {
    const float* const cells = tile.weights.data() + int64_t{row} * n_position;
    const auto gather = [&](int32_t begin, int32_t column) {
      Gathered block;
      const int32_t first = column * kShape.columns;
      for (int32_t p = begin; p < std::min(first + kShape.columns, n_position); ++p) {
        block.add(cells[p], cells[p], p - first);
      }
      return block;
    };
    for (int32_t c = 0; c < out.n_column; ++c) gather(c * kShape.columns, c).store(out, out.at(row, c));
    gather(kMaskedSinks, 0).store(out, out.at(row, out.n_column));
  }
  return out;
}

RowLevel from_level(const RowLevel& fine, const LevelShape& small, const LevelShape& shape, const RowTile& tile) {
  RowLevel out = sized(shape, tile.n_row, tile.n_position());
  const int32_t n_fine = n_block(tile.n_row, small.rows);
  const int32_t rows = shape.rows / small.rows, columns = shape.columns / small.columns;
  for (int32_t r = 0; r < n_block(tile.n_row, shape.rows); ++r) {
    const auto gather = [&](int32_t c, bool without_sinks) {
      Gathered block;
      for (int32_t i = 0; i < rows && r * rows + i < n_fine; ++i) {
        for (int32_t j = 0; j < columns && c * columns + j < fine.n_column; ++j) {
          const bool bare = without_sinks && j == 0;
          const size_t at = fine.at(r * rows + i, bare ? fine.n_column : c * columns + j);
          const int32_t row = i * small.rows + fine.place[at] / small.columns;
          const int32_t column = j * small.columns + fine.place[at] % small.columns;
          block.add(fine.largest[at], fine.sum[at], row * shape.columns + column);
        }
      }
      return block;
    };
    for (int32_t c = 0; c < out.n_column; ++c) gather(c, false).store(out, out.at(r, c));
    gather(0, true).store(out, out.at(r, out.n_column));
  }
  return out;
}

}  // namespace

int64_t coarse_bytes(int64_t n_row, int64_t n_position) {
  int64_t bytes = 0;
  for (size_t l = kFineLevels; l < kLevels.size(); ++l) bytes += level_bytes(l, n_row, n_position);
  return bytes;
}

int64_t exact_bytes(int64_t n_row, int64_t n_position) {
  int64_t bytes = n_row * n_position * int64_t{sizeof(float)};
  for (size_t l = 1; l < kFineLevels; ++l) bytes += level_bytes(l, n_row, n_position);
  return bytes;
}

int64_t RowTile::bytes() const {
  int64_t bytes = static_cast<int64_t>(weights.size() * sizeof(float));
  for (const RowLevel& level : levels) bytes += level.bytes();
  return bytes;
}

void RowTile::make_levels() {
  levels[1] = from_weights(*this);
  for (size_t l = 2; l < kLevels.size(); ++l) levels[l] = from_level(levels[l - 1], kLevels[l - 1], kLevels[l], *this);
}

RowTile RowTile::coarse() const {
  RowTile out{.layer = layer,
              .kv_head = kv_head,
              .first_step = first_step,
              .n_row = n_row,
              .n_prompt = n_prompt,
              .weights = {},
              .levels = {}};
  for (size_t l = kFineLevels; l < kLevels.size(); ++l) out.levels[l] = levels[l];
  return out;
}

size_t level_for(const HeatView& view, int32_t width, int32_t height) {
  const double columns = (view.column_high - view.column_low) / width, rows = (view.row_high - view.row_low) / height;
  size_t level = 0;
  for (size_t l = 1; l < kLevels.size(); ++l) {
    if (kLevels[l].rows <= std::max(1.0, rows) && kLevels[l].columns <= columns) level = l;
  }
  return level;
}

namespace {

/// The level that a tile is drawn from.
size_t level_of(const RowTile& tile, size_t wanted) {
  return tile.has(wanted) ? wanted : kFineLevels;
}

/// Where pixels meet the blocks of a level.
struct Grid {
  std::vector<CellRange> rows, columns;
  Grid(const LevelShape& shape, const HeatView& view, int32_t width, int32_t height)
      : rows(cells_under_pixels(view.row_low / shape.rows, view.row_high / shape.rows, height, kMost)),
        columns(cells_under_pixels(view.column_low / shape.columns, view.column_high / shape.columns, width, kMost)) {}
  static constexpr int32_t kMost = INT32_MAX / 2;
};

/// Draws one tile from one of its levels.
class TileReduction {
 public:
  TileReduction(const RowTile& tile, size_t level, bool without_sinks)
      : tile_(tile),
        level_(level),
        shape_(kLevels[level]),
        without_sinks_(without_sinks),
        n_column_(level == 0 ? tile.n_position() : tile.levels[level].n_column),
        first_row_((tile.first_step - 1) / shape_.rows),
        n_row_(n_block(tile.n_row, shape_.rows)) {}

  CellRange rows_of(const Grid& grid, int32_t y) const {
    const CellRange rows = grid.rows[static_cast<size_t>(y)];
    return {std::max(rows.begin - first_row_, 0), std::min(rows.end - first_row_, n_row_)};
  }
  CellRange columns_of(const Grid& grid, int32_t x) const {
    const CellRange columns = grid.columns[static_cast<size_t>(x)];
    return {columns.begin, std::min(columns.end, n_column_)};
  }

  void draw(const Grid& grid, ReducedPixels& out) const {
    const auto n = static_cast<size_t>(out.width);
    ReducedPixels line{.width = out.width, .height = 1, .largest = {}, .sums = {}, .cells = std::vector<HeatCell>(n)};
    CellRange last;  // what `line` holds: zoomed in, neighbouring pixels show the same row
    for (int32_t y = 0; y < out.height; ++y) {
      const CellRange rows = rows_of(grid, y);
      if (rows.empty()) continue;
      if (rows != last) {
        line.largest.assign(n, kNoCell), line.sums.assign(n, 0);
        for (int32_t r = rows.begin; r < rows.end; ++r) {
          for (int32_t x = 0; x < out.width; ++x) {
            const CellRange columns = columns_of(grid, x);
            if (!columns.empty()) add(r, columns, static_cast<size_t>(x), line);
          }
        }
        last = rows;
      }
      // A pixel may lie on two tiles.
      for (size_t x = 0; x < n; ++x) {
        const size_t pixel = static_cast<size_t>(y) * n + x;
        out.sums[pixel] += line.sums[x];
        if (line.largest[x] > out.largest[pixel])
          out.largest[pixel] = line.largest[x], out.cells[pixel] = line.cells[x];
      }
    }
  }

  CellsOfPixel cells(CellRange rows, CellRange columns) const {
    CellsOfPixel out = {.steps = {(first_row_ + rows.begin) * shape_.rows + 1, (first_row_ + rows.end) * shape_.rows},
                        .begin = columns.begin * shape_.columns,
                        .end = std::min(columns.end * shape_.columns, tile_.n_position())};
    out.steps.last = std::min(out.steps.last, tile_.steps().last);
    for (int32_t t = out.steps.first; t <= out.steps.last; ++t) {
      out.n_cell += std::max(0, std::min(out.end, tile_.n_weight(t)) - out.begin);
    }
    return out;
  }

 private:
  void add(int32_t row, CellRange columns, size_t pixel, ReducedPixels& out) const {
    float best = kNoCell, sum = 0;
    int64_t at = 0;
    if (level_ == 0) {
      const float* const cells = tile_.weights.data() + int64_t{row} * n_column_;
      for (int32_t c = without_sinks_ ? std::max(columns.begin, kMaskedSinks) : columns.begin; c < columns.end; ++c) {
        if (cells[c] > best) best = cells[c], at = c;
        sum += std::max(cells[c], 0.0F);
      }
    } else {
      const RowLevel& level = tile_.levels[level_];
      for (int32_t c = columns.begin; c < columns.end; ++c) {
        const size_t block = level.at(row, without_sinks_ && c == 0 ? n_column_ : c);
        if (level.largest[block] > best) best = level.largest[block], at = static_cast<int64_t>(block);
        sum += level.sum[block];
      }
    }
    if (best == kNoCell) return;
    out.sums[pixel] += sum;
    if (best > out.largest[pixel]) out.largest[pixel] = best, out.cells[pixel] = cell_at(row, at);
  }

  HeatCell cell_at(int32_t row, int64_t at) const {
    if (level_ == 0) return {tile_.first_step + row, static_cast<int32_t>(at)};
    const auto column = static_cast<int32_t>(at % (n_column_ + 1));
    const int32_t place = tile_.levels[level_].place[static_cast<size_t>(at)];
    return {(first_row_ + row) * shape_.rows + place / shape_.columns + 1,
            (column == n_column_ ? 0 : column) * shape_.columns + place % shape_.columns};
  }

  const RowTile& tile_;
  const size_t level_;
  const LevelShape shape_;
  const bool without_sinks_;
  const int32_t n_column_, first_row_, n_row_;
};

}  // namespace

void reduce_tiles(std::span<const std::shared_ptr<const RowTile>> tiles, const HeatView& view, int32_t width,
                  int32_t height, bool without_sinks, ReducedPixels& out) {
  const auto n = static_cast<size_t>(width) * static_cast<size_t>(height);
  out.width = width, out.height = height;
  out.largest.assign(n, kNoCell), out.sums.assign(n, 0), out.cells.resize(n);
  const size_t wanted = level_for(view, width, height);
  std::array<std::optional<Grid>, kLevels.size()> grids;
  for (const auto& tile : tiles) {
    if (!tile || tile->steps().last <= view.row_low || tile->first_step - 1 >= view.row_high) continue;
    const size_t level = level_of(*tile, wanted);
    if (!grids[level]) grids[level].emplace(kLevels[level], view, width, height);
    TileReduction(*tile, level, without_sinks).draw(*grids[level], out);
  }
}

std::vector<CellsOfPixel> cells_of_pixel(std::span<const std::shared_ptr<const RowTile>> tiles, const HeatView& view,
                                         int32_t width, int32_t height, int32_t x, int32_t y) {
  std::vector<CellsOfPixel> parts;
  const size_t wanted = level_for(view, width, height);
  const double row = (view.row_high - view.row_low) / height, above = view.row_low + row * y - kTileSteps;
  for (const auto& tile : tiles) {
    if (!tile || tile->steps().last < above || tile->first_step > above + row + 2 * kTileSteps) continue;
    const size_t level = level_of(*tile, wanted);
    const Grid grid(kLevels[level], view, width, height);
    const TileReduction reduction(*tile, level, false);
    const CellRange rows = reduction.rows_of(grid, y), columns = reduction.columns_of(grid, x);
    if (!rows.empty() && !columns.empty()) parts.push_back(reduction.cells(rows, columns));
  }
  return parts;
}

}  // namespace reattend::viz
