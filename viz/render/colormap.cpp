// Builds the colour tables once and places values on them.
#include "viz/render/colormap.h"

#include <algorithm>
#include <cmath>
#include <span>

#include <implot.h>

namespace reattend::viz {
namespace {

ColorTable from_implot(ImPlotColormap map) {
  ColorTable table;
  for (size_t i = 0; i < table.size(); ++i) {
    table[i] = ImGui::ColorConvertFloat4ToU32(ImPlot::SampleColormap(static_cast<float>(i) / 255.0F, map));
  }
  return table;
}

/// Linear between equally spaced colours.
ColorTable ramp(std::span<const ImVec4> stops) {
  ColorTable table;
  for (size_t i = 0; i < table.size(); ++i) {
    const float x = static_cast<float>(i) / 255.0F * static_cast<float>(stops.size() - 1);
    const size_t k = std::min(static_cast<size_t>(x), stops.size() - 2);
    const float f = x - static_cast<float>(k);
    const ImVec4 a = stops[k], b = stops[k + 1];
    table[i] =
        ImGui::ColorConvertFloat4ToU32(ImVec4(a.x + f * (b.x - a.x), a.y + f * (b.y - a.y), a.z + f * (b.z - a.z), 1));
  }
  return table;
}

// Blue and orange stay apart for every common kind of colour blindness; both get lighter with the value.
constexpr ImVec4 kBlues[] = {{0.03F, 0.05F, 0.13F, 1},
                             {0.05F, 0.18F, 0.42F, 1},
                             {0.12F, 0.45F, 0.80F, 1},
                             {0.45F, 0.78F, 0.98F, 1},
                             {0.93F, 0.99F, 1.00F, 1}};
constexpr ImVec4 kOranges[] = {{0.09F, 0.05F, 0.03F, 1},
                               {0.32F, 0.15F, 0.04F, 1},
                               {0.75F, 0.36F, 0.04F, 1},
                               {1.00F, 0.66F, 0.20F, 1},
                               {1.00F, 0.95F, 0.80F, 1}};

constexpr ImVec4 kGained[] = {{0.35F, 0.80F, 1.00F, 1}, {0.75F, 0.95F, 1.00F, 1}};
constexpr ImVec4 kNewlyLost[] = {{1.00F, 0.72F, 0.00F, 1}, {1.00F, 0.98F, 0.35F, 1}};

/// Its lower half, over the whole range.
ColorTable muted(const ColorTable& table) {
  ColorTable out;
  for (size_t i = 0; i < out.size(); ++i) out[i] = table[i / 2];
  return out;
}

}  // namespace

const ColorTable& color_table(Colormap map) {
  static const ColorTable viridis = from_implot(ImPlotColormap_Viridis);
  static const ColorTable blues = ramp(kBlues);
  static const ColorTable oranges = ramp(kOranges);
  static const ColorTable muted_blues = muted(blues), muted_oranges = muted(oranges);
  static const ColorTable gained = ramp(kGained), newly_lost = ramp(kNewlyLost);
  switch (map) {
    case Colormap::blues:
      return blues;
    case Colormap::oranges:
      return oranges;
    case Colormap::muted_blues:
      return muted_blues;
    case Colormap::muted_oranges:
      return muted_oranges;
    case Colormap::gained:
      return gained;
    case Colormap::newly_lost:
      return newly_lost;
    case Colormap::viridis:
      break;
  }
  return viridis;
}

float ColorScale::place(float value) const {
  const float at =
      logarithmic ? (value > 0 ? std::log(value / low) / std::log(high / low) : 0.0F) : (value - low) / (high - low);
  return std::clamp(at, 0.0F, 1.0F);
}

float ColorScale::value_at(float place) const {
  return logarithmic ? low * std::pow(high / low, place) : low + (high - low) * place;
}

ImU32 color_of(const ColorTable& table, float place) {
  return table[static_cast<size_t>(std::clamp(place, 0.0F, 1.0F) * 255.0F + 0.5F)];
}

}  // namespace reattend::viz
