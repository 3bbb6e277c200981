// Goes through the squares between four neighbours, each of which a line crosses at two edges, or at four.
#include "viz/render/contours.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace reattend::viz {

std::vector<Segment> contour(std::span<const double> values,  // [n_row][n_column]
                             int32_t n_row, int32_t n_column, double level) {
  std::vector<Segment> out;
  const auto at = [&](int32_t row, int32_t column) {
    return values[static_cast<size_t>(row) * static_cast<size_t>(n_column) + static_cast<size_t>(column)];
  };
  for (int32_t row = 0; row + 1 < n_row; ++row) {
    for (int32_t column = 0; column + 1 < n_column; ++column) {
      // Corners around the square.
      const std::array<ImVec2, 4> places = {
          ImVec2(static_cast<float>(column), static_cast<float>(row)),
          ImVec2(static_cast<float>(column + 1), static_cast<float>(row)),
          ImVec2(static_cast<float>(column + 1), static_cast<float>(row + 1)),
          ImVec2(static_cast<float>(column), static_cast<float>(row + 1)),
      };
      const std::array<double, 4> corner = {at(row, column), at(row, column + 1), at(row + 1, column + 1),
                                            at(row + 1, column)};
      if (std::ranges::any_of(corner, [](double x) { return std::isnan(x); })) continue;
      std::vector<ImVec2> crossings;
      for (size_t i = 0; i < 4; ++i) {
        const double a = corner[i], b = corner[(i + 1) % 4];
        if ((a < level) == (b < level)) continue;
        const auto part = static_cast<float>((level - a) / (b - a));
        const ImVec2 from = places[i], to = places[(i + 1) % 4];
        crossings.emplace_back(from.x + part * (to.x - from.x), from.y + part * (to.y - from.y));
      }
      for (size_t i = 0; i + 1 < crossings.size(); i += 2) out.push_back({crossings[i], crossings[i + 1]});
    }
  }
  return out;
}

std::vector<double> round_levels(std::span<const double> values, int n) {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const double x : values) {
    if (std::isfinite(x)) low = std::min(low, x), high = std::max(high, x);
  }
  if (!(high > low) || n < 1) return {};
  constexpr std::array<double, 3> kSteps = {1, 2, 5};
  for (int power = static_cast<int>(std::floor(std::log10((high - low) / n))); power < 300; ++power) {
    for (const double part : kSteps) {
      const double step = part * std::pow(10.0, power);
      if ((high - low) / step > n) continue;
      std::vector<double> out;
      for (double k = std::floor(low / step) + 1; k * step < high && static_cast<int>(out.size()) < n; ++k) {
        out.push_back(k * step);
      }
      return out;
    }
  }
  return {};
}

}  // namespace reattend::viz
