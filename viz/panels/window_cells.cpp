// Fills one rectangle a step, or a pixel where many steps share one.
#include "viz/panels/window_cells.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <implot.h>

#include "viz/panels/plot_helpers.h"
#include "viz/render/theme.h"

namespace reattend::viz {
namespace {

int64_t window_of(const TraceInfo& info, int32_t layer) {
  return info.windows[static_cast<size_t>(layer)];
}

}  // namespace

void draw_window_cells(const TraceInfo& info, int32_t layer, const SharedView& view) {
  ImDrawList& list = *ImPlot::GetPlotDrawList();
  const ImVec2 corner = ImPlot::GetPlotPos(), size = ImPlot::GetPlotSize();
  const ImVec2 end(corner.x + size.x, corner.y + size.y);
  ImVec4 kept = palette(view.light).kept;
  kept.w = 0.55F;
  const ImU32 inside = ImGui::ColorConvertFloat4ToU32(kept), ground = ImGui::GetColorU32(ImGuiCol_WindowBg);
  ImPlot::PushPlotClipRect();
  hatch(list, corner, size);
  const int32_t first = std::clamp(cell_at(view.steps.low), 1, info.n_step);
  const int32_t last = std::clamp(cell_at(view.steps.high), 1, info.n_step);
  const int32_t stride = std::max(1, static_cast<int32_t>(static_cast<float>(last - first + 1) / size.y));
  for (int32_t t = first; t <= last; t += stride) {
    const int32_t p = info.n_prompt - 1 + t;
    const auto begin = static_cast<double>(std::max<int64_t>(0, p + 1 - window_of(info, layer)));
    const ImVec2 low = ImPlot::PlotToPixels(begin - 0.5, t - 0.5),
                 high = ImPlot::PlotToPixels(p + 0.5, t + stride - 0.5);
    list.AddRectFilled(low, ImVec2(end.x, high.y), ground);
    list.AddRectFilled(low, high, inside);
  }
  const std::string text = fmt::format(
      "Layer {} looks back {} positions by itself (blue); what lies before them (striped) it never attends to. No "
      "policy acts there, nothing is lost, and its weights are not recorded.",
      layer, window_of(info, layer));
  const float em = ImGui::GetFontSize(), width = std::max(10 * em, 0.6F * size.x);
  const ImVec2 at(corner.x + em, corner.y + em), room = ImGui::CalcTextSize(text.c_str(), nullptr, false, width);
  list.AddRectFilled(ImVec2(at.x - 0.4F * em, at.y - 0.3F * em),
                     ImVec2(at.x + room.x + 0.4F * em, at.y + room.y + 0.3F * em),
                     ImGui::GetColorU32(ImGuiCol_WindowBg, 0.9F));
  list.AddText(nullptr, 0, at, ImGui::GetColorU32(ImGuiCol_Text), text.c_str(), nullptr, width);
  ImPlot::PopPlotClipRect();
}

std::string describe_window_cell(const Session& session, int32_t layer, Cell cell) {
  const TraceInfo& info = session.trace()->info;
  const int64_t window = window_of(info, layer);
  const bool holds = cell.position >= info.n_prompt + cell.step - window;
  return fmt::format("step {}, position {}\ntoken \u201c{}\u201d\n{} the window of {} positions of layer {}", cell.step,
                     cell.position, session.token_text(cell.position), holds ? "within" : "outside", window, layer);
}

}  // namespace reattend::viz
