// Lines of equal value through a grid of numbers.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include <imgui.h>

namespace reattend::viz {

/// In places of the grid: x counts columns, y rows.
struct Segment {
  ImVec2 from, to;
};

/// Where the values pass `level`, linear between neighbours (marching squares). Squares with a corner that is not known
/// (nan) have no line.
std::vector<Segment> contour(std::span<const double> values,  // [n_row][n_column]
                             int32_t n_row, int32_t n_column, double level);

/// At most `n` levels between the lowest and the highest value that is known, round numbers: every 1, 2 or 5 times a
/// power of ten.
std::vector<double> round_levels(std::span<const double> values, int n);

}  // namespace reattend::viz
