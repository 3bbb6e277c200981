// A matrix drawn at the size of its plot: each pixel shows the strongest of the cells under it, so no peak is ever
// lost.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "viz/render/canvas.h"
#include "viz/render/colormap.h"

namespace reattend::viz {

/// What is drawn. The sign of a value marks its class (negative: not attended to), its magnitude is shown.
struct HeatMatrix {
  const float* values = nullptr;  ///< [n_row][n_column]
  int32_t n_row = 0, n_column = 0;
  std::span<const int32_t> row_end;  ///< [n_row] cells of a row that exist, or empty: all of them
  uint64_t version = 0;              ///< changes whenever the values do
};

/// The part of the matrix in view, in cells; row 0 is at the top. May reach beyond the matrix.
struct HeatView {
  double column_low = 0, column_high = 1, row_low = 0, row_high = 1;
  bool operator==(const HeatView&) const = default;
};

struct HeatColors {
  ColorScale scale;
  Colormap positive = Colormap::viridis, negative = Colormap::viridis;
  Colormap changed_positive = Colormap::viridis, changed_negative = Colormap::viridis;  ///< of cells that are marked
  bool operator==(const HeatColors&) const = default;
};

/// Cells begin .. end - 1.
struct CellRange {
  int32_t begin = 0, end = 0;
  bool empty() const { return begin >= end; }
  bool operator==(const CellRange&) const = default;
};
/// The cells under each of n pixels that share [low, high) evenly, of n_cell cells: every cell in view is under one. A
/// pixel smaller than a cell has the one under its centre.
std::vector<CellRange> cells_under_pixels(double low, double high, int32_t n, int32_t n_cell);

/// The strongest cell (by magnitude, with its sign) under each of width x height pixels; nan where there is none.
/// out [height][width]. Where a pixel is smaller than a cell it shows the cell under its centre.
void reduce_to_pixels(const HeatMatrix& matrix, const HeatView& view, int32_t width, int32_t height,
                      std::vector<float>& out);

/// Colours values as an image: that of a negative one is its class, nan is nothing.
class HeatPaint {
 public:
  /// values [height][width]; changed [height][width], 1 for those that are marked, or empty: none is.
  void paint(std::span<const float> values, std::span<const uint8_t> changed, int32_t width, int32_t height,
             const HeatColors& colors);
  void draw(ImDrawList& list, ImVec2 corner) const { canvas_.draw(list, corner); }

 private:
  void make_color_index(const HeatColors& colors);

  std::optional<HeatColors> colors_;
  /// Colour by the upper 16 bits of a value: a logarithm per pixel would take longer than all else. Seven bits of
  /// mantissa are a sixth of a colour's width on a scale of five decades, two colours at the top of a linear one.
  std::vector<ImU32> color_index_;  ///< [2][65536] the second of values that are marked
  Canvas canvas_;
};

/// Caches the picture: cells are reduced again only when the matrix, the view or the size change, and coloured again
/// only when the colours do.
class HeatMap {
 public:
  /// Draws into `list` with the upper left pixel at `corner`, width x height pixels.
  void draw(ImDrawList& list, ImVec2 corner, int32_t width, int32_t height, const HeatMatrix& matrix,
            const HeatView& view, const HeatColors& colors);

 private:
  struct Key {
    const float* values;
    uint64_t version;
    HeatView view;
    int32_t width, height;
    bool operator==(const Key&) const = default;
  };
  std::optional<Key> key_;
  std::optional<HeatColors> colors_;
  std::vector<float> pixels_;  ///< [height][width]
  HeatPaint paint_;
};

}  // namespace reattend::viz
