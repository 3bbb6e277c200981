// Finds the maximum under each pixel, columns first and then rows: the first pass reads each visible cell once.
#include "viz/render/heatmap.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace reattend::viz {
namespace {

constexpr float kNone = std::numeric_limits<float>::quiet_NaN();

/// False for nan against anything, so that the first cell replaces `kNone` and none replaces a cell.
bool stronger(float a, float b) {
  return std::isnan(b) ? !std::isnan(a) : std::abs(a) > std::abs(b);
}

/// Upper halves of floats.
constexpr size_t kValues = size_t{1} << 16;

}  // namespace

std::vector<CellRange> cells_under_pixels(double low, double high, int32_t n, int32_t n_cell) {
  std::vector<CellRange> ranges(static_cast<size_t>(n));
  const double step = (high - low) / n;
  const auto cell = [n_cell](double x) { return static_cast<int32_t>(std::clamp(x, -1.0, double{1} + n_cell)); };
  for (int32_t i = 0; i < n; ++i) {
    CellRange& range = ranges[static_cast<size_t>(i)];
    if (step >= 1) {
      // A cell that is partly in view at the end belongs to the last pixel.
      const double end = i + 1 < n ? std::floor(low + step * (i + 1)) : std::ceil(high);
      range = {cell(std::floor(low + step * i)), cell(end)};
    } else {
      const int32_t centre = cell(std::floor(low + step * (i + 0.5)));
      range = {centre, centre + 1};
    }
    range = {std::max(range.begin, 0), std::min(range.end, n_cell)};
  }
  return ranges;
}

void reduce_to_pixels(const HeatMatrix& matrix, const HeatView& view, int32_t width, int32_t height,
                      std::vector<float>& out) {
  out.assign(static_cast<size_t>(width) * static_cast<size_t>(height), kNone);
  const std::vector<CellRange> columns = cells_under_pixels(view.column_low, view.column_high, width, matrix.n_column);
  const std::vector<CellRange> rows = cells_under_pixels(view.row_low, view.row_high, height, matrix.n_row);
  std::vector<float> line(static_cast<size_t>(width));
  int32_t line_row = -1;
  for (int32_t y = 0; y < height; ++y) {
    float* const pixels = out.data() + int64_t{y} * width;
    for (int32_t r = rows[static_cast<size_t>(y)].begin; r < rows[static_cast<size_t>(y)].end; ++r) {
      if (r != line_row) {  // zoomed in, neighbouring pixels show the same row
        line_row = r;
        const float* const cells = matrix.values + int64_t{r} * matrix.n_column;
        const int32_t end = matrix.row_end.empty() ? matrix.n_column : matrix.row_end[static_cast<size_t>(r)];
        for (int32_t x = 0; x < width; ++x) {
          const CellRange range = columns[static_cast<size_t>(x)];
          const int32_t last = std::min(range.end, end);
          // Largest and smallest apart: two independent chains without branches, 1.2 ns a cell.
          float high = -std::numeric_limits<float>::infinity(), low = -high;
          for (int32_t c = range.begin; c < last; ++c) {
            high = cells[c] > high ? cells[c] : high;
            low = cells[c] < low ? cells[c] : low;
          }
          // Nothing under the pixel, or nothing but nan, leaves them as they were.
          const float best = high < low ? kNone : high >= -low ? high : low;
          line[static_cast<size_t>(x)] = best;
        }
      }
      for (int32_t x = 0; x < width; ++x) {
        if (stronger(line[static_cast<size_t>(x)], pixels[x])) pixels[x] = line[static_cast<size_t>(x)];
      }
    }
  }
}

void HeatPaint::make_color_index(const HeatColors& colors) {
  color_index_.resize(2 * kValues);
  for (const bool changed : {false, true}) {
    const ColorTable& positive = color_table(changed ? colors.changed_positive : colors.positive);
    const ColorTable& negative = color_table(changed ? colors.changed_negative : colors.negative);
    ImU32* const index = color_index_.data() + (changed ? kValues : 0);
    for (uint32_t top = 0; top < kValues; ++top) {
      const auto value = std::bit_cast<float>(top << 16 | 0x8000u);
      const float place = colors.scale.place(std::abs(value));
      index[top] = std::isnan(value) ? ImU32{0} : color_of(std::signbit(value) ? negative : positive, place);
    }
  }
  colors_ = colors;
}

void HeatPaint::paint(std::span<const float> values, std::span<const uint8_t> changed, int32_t width, int32_t height,
                      const HeatColors& colors) {
  canvas_.resize(width, height);
  if (colors_ != colors) make_color_index(colors);
  for (int32_t y = 0; y < height; ++y) {
    const float* const line = values.data() + int64_t{y} * width;
    ImU32* const row = canvas_.row(y);
    const uint8_t* const marks = changed.empty() ? nullptr : changed.data() + int64_t{y} * width;
    for (int32_t x = 0; x < width; ++x) {
      const size_t from = marks != nullptr && marks[x] != 0 ? kValues : 0;
      row[x] = color_index_[from + (std::bit_cast<uint32_t>(line[x]) >> 16)];
    }
  }
  canvas_.changed();
}

void HeatMap::draw(ImDrawList& list, ImVec2 corner, int32_t width, int32_t height, const HeatMatrix& matrix,
                   const HeatView& view, const HeatColors& colors) {
  if (width <= 0 || height <= 0) return;
  const Key key{matrix.values, matrix.version, view, width, height};
  const bool reduce = key_ != key;
  if (reduce) {
    reduce_to_pixels(matrix, view, width, height, pixels_);
    key_ = key;
  }
  if (reduce || colors_ != colors) paint_.paint(pixels_, {}, width, height, colors);
  colors_ = colors;
  paint_.draw(list, corner);
}

}  // namespace reattend::viz
