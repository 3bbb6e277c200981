// Small things that several plots do alike: clicking without dragging, cell limits, the line at the selected step.
#pragma once
#include <cmath>

#include <imgui.h>
#include <imgui_internal.h>
#include <implot.h>

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
