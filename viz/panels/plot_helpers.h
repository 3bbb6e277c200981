// Small parts of plots: clicking without dragging, cell limits, ticks and their labels, the line at the selected step,
// stripes where nothing is known.
#pragma once
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <imgui.h>
#include <imgui_internal.h>
#include <implot.h>

#include "viz/render/colormap.h"
#include "viz/render/ticks.h"
#include "viz/session/shared_view.h"

namespace reattend::viz {

/// The left button was released over the current plot without having dragged it.
inline bool plot_clicked() {
  return ImPlot::IsPlotHovered() && ImGui::IsMouseReleased(ImGuiMouseButton_Left) &&
         !ImGui::IsMouseDragPastThreshold(ImGuiMouseButton_Left);
}

/// The cell under a plot coordinate.
inline int32_t cell_at(double x) {
  return static_cast<int32_t>(std::floor(x + 0.5));
}

/// Whole cells first .. last in view.
inline Limits cells(int32_t first, int32_t last) {
  return {first - 0.5, last + 0.5};
}

/// Ticks of an axis of whole numbers that shows `view` on `room` pixels; called before the plot's first item.
inline void set_up_whole_ticks(ImAxis axis, Limits view, float room) {
  const bool across = axis == ImAxis_X1;
  const ImVec2 widest = ImGui::CalcTextSize(std::to_string(cell_at(view.high)).c_str());
  const float label = across ? widest.x + 2 * ImGui::GetFontSize() : widest.y * 1.5F;
  const std::vector<double> ticks = whole_ticks(view.low, view.high, room, label);
  ImPlot::SetupAxisFormat(axis, "%.0f");
  ImPlot::SetupAxisTicks(axis, ticks.data(), static_cast<int>(ticks.size()));
}

/// A thin vertical line at x over the whole height of the current plot.
inline void vertical_line(double x, ImVec4 color) {
  const ImVec2 corner = ImPlot::GetPlotPos(), size = ImPlot::GetPlotSize();
  const float at = ImPlot::PlotToPixels(x, 0).x;
  ImPlot::PushPlotClipRect();
  ImPlot::GetPlotDrawList()->AddLine(ImVec2(at, corner.y), ImVec2(at, corner.y + size.y),
                                     ImGui::ColorConvertFloat4ToU32(color));
  ImPlot::PopPlotClipRect();
}

/// Grey stripes: nothing is known here.
inline void hatch(ImDrawList& list, ImVec2 corner, ImVec2 size) {
  list.AddRectFilled(corner, ImVec2(corner.x + size.x, corner.y + size.y), IM_COL32(96, 96, 96, 255));
  const float step = ImGui::GetFontSize() * 0.6F;
  for (float x = corner.x - size.y; x < corner.x + size.x; x += step) {
    list.AddLine(ImVec2(x, corner.y + size.y), ImVec2(x + size.y, corner.y), IM_COL32(128, 128, 128, 255));
  }
}

/// A bar of all colours, the lowest at its bottom.
inline void color_bands(ImDrawList& list, ImVec2 corner, ImVec2 size, const ColorTable& table) {
  constexpr int kBands = 64;
  for (int i = 0; i < kBands; ++i) {
    const float high = static_cast<float>(i + 1) / kBands, low = static_cast<float>(i) / kBands;
    list.AddRectFilled(ImVec2(corner.x, corner.y + size.y * (1 - high)),
                       ImVec2(corner.x + size.x, corner.y + size.y * (1 - low)), color_of(table, (low + high) / 2));
  }
}

/// What of a y axis that shows `view` on `height` pixels lies under a label at `value` (ImPlot::TagY), so that the
/// label of a tick there would meet it.
inline Limits label_room(double value, Limits view, float height) {
  const double reach = 1.2 * ImGui::GetFontSize() * (view.high - view.low) / height;
  return {value - reach, value + reach};
}

/// An axis's format that leaves the labels of ticks within `covered` empty.
inline int uncovered_label(double value, char* out, int size, void* covered /*Limits*/) {
  const Limits& none = *static_cast<const Limits*>(covered);
  const std::string text = value > none.low && value < none.high ? std::string() : fmt::format("{:.2f}", value);
  return std::snprintf(out, static_cast<size_t>(size), "%s", text.c_str());
}

}  // namespace reattend::viz
