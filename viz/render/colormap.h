// Colour scales: a position in [0, 1] to a colour, linear or logarithmic, all of them readable without red and green.
#pragma once
#include <array>
#include <cstdint>

#include <imgui.h>

namespace reattend::viz {

/// 256 colours from the lowest to the highest value, in ImGui's byte order.
using ColorTable = std::array<ImU32, 256>;

/// Muted ones are the lower halves of blues and oranges: beside them gained and newly_lost, which are lighter, stay
/// apart for every common kind of colour blindness.
enum class Colormap : uint8_t { viridis, blues, oranges, muted_blues, muted_oranges, gained, newly_lost };
const ColorTable& color_table(Colormap map);

/// How values become positions on a colour scale.
struct ColorScale {
  float low = 1e-5F, high = 1;  ///< 0 < low < high with `logarithmic`
  bool logarithmic = true;
  bool operator==(const ColorScale&) const = default;

  /// 0 at and below low, 1 at and above high.
  float place(float value) const;
  /// The value at a place in [0, 1].
  float value_at(float place) const;
};

ImU32 color_of(const ColorTable& table, float place);

}  // namespace reattend::viz
