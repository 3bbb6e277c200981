// Small things that several plots do alike: clicking without dragging, cell limits, ticks at whole numbers, the line at
// the selected step.
#pragma once
#include <cmath>
#include <string>
#include <vector>

#include <imgui.h>
#include <imgui_internal.h>
#include <implot.h>

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

}  // namespace reattend::viz
