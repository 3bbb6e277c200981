// Every plot with steps calls these, so that none can differ.
#include "viz/panels/step_axis.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "viz/panels/plot_helpers.h"
#include "viz/panels/role_lane.h"
#include "viz/render/theme.h"

namespace reattend::viz {
namespace {

/// The part of the plot over cells first .. last.
ImRect part_of_plot(StepsGo way, int32_t first, int32_t last) {
  const ImVec2 corner = ImPlot::GetPlotPos(), size = ImPlot::GetPlotSize();
  ImRect part(corner, ImVec2(corner.x + size.x, corner.y + size.y));
  if (way == StepsGo::across) {
    part.Min.x = ImPlot::PlotToPixels(first - 0.5, 0).x, part.Max.x = ImPlot::PlotToPixels(last + 0.5, 0).x;
  } else {
    part.Min.y = ImPlot::PlotToPixels(0, first - 0.5).y, part.Max.y = ImPlot::PlotToPixels(0, last + 0.5).y;
  }
  return part;
}

}  // namespace

Limits all_steps(const TraceInfo& info) {
  return cells(1, info.n_step);
}

void set_up_step_axis(const TraceInfo& info, SharedView& view, StepsGo way, const char* title, ImPlotAxisFlags flags,
                      float room) {
  const ImAxis axis = way == StepsGo::across ? ImAxis_X1 : ImAxis_Y1;
  // A double click shows all steps, not those with data: until draw_step_marks() a button that nobody has is for that.
  ImPlot::GetInputMap().Fit = ImGuiMouseButton_COUNT - 1;
  ImPlot::SetupAxis(axis, title, flags);
  ImPlot::SetupAxisLinks(axis, &view.steps.low, &view.steps.high);
  set_up_whole_ticks(axis, view.steps, room);
  const Limits all = all_steps(info);
  const double most = all.high - all.low;
  ImPlot::SetupAxisLimitsConstraints(axis, all.low, all.high);
  ImPlot::SetupAxisZoomConstraints(axis, std::min(4.0, most), most);
}

void draw_step_marks(const Session& session, const SharedView& view, StepsGo way) {
  ImDrawList& list = *ImPlot::GetPlotDrawList();
  ImPlot::PushPlotClipRect();
  if (view.range) {
    const ImRect part = part_of_plot(way, view.range->first, view.range->last);
    ImVec4 color = palette(view.light).threshold;
    const ImU32 edge = ImGui::ColorConvertFloat4ToU32(color);
    color.w = 0.12F;
    list.AddRectFilled(part.Min, part.Max, ImGui::ColorConvertFloat4ToU32(color));
    const bool across = way == StepsGo::across;
    list.AddLine(part.Min, across ? ImVec2(part.Min.x, part.Max.y) : ImVec2(part.Max.x, part.Min.y), edge);
    list.AddLine(part.Max, across ? ImVec2(part.Max.x, part.Min.y) : ImVec2(part.Min.x, part.Max.y), edge);
  }
  const int32_t step = session.selection().step, last = session.trace()->info.n_step;
  if (view.player.playing() && step < last) {
    const ImRect part = part_of_plot(way, step + 1, last);
    list.AddRectFilled(part.Min, part.Max, ImGui::GetColorU32(ImGuiCol_WindowBg, 0.8F));
  }
  ImPlot::PopPlotClipRect();
  ImPlot::GetInputMap().Fit = ImGuiMouseButton_Left;
}

void mark_range(const TraceInfo& info, SharedView& view, StepsGo way) {
  const ImGuiID plot = ImGui::GetID("range");
  const ImPlotPoint mouse = ImPlot::GetPlotMousePos();
  const int32_t step = std::clamp(cell_at(way == StepsGo::across ? mouse.x : mouse.y), 1, info.n_step);
  if (ImPlot::IsPlotHovered() && ImGui::GetIO().KeyCtrl && ImGui::IsMouseClicked(ImGuiMouseButton_Left)) {
    view.dragged_range = RangeDrag{plot, step};
  }
  if (!view.dragged_range || view.dragged_range->plot != plot) return;
  const int32_t from = view.dragged_range->from;
  if (ImGui::IsMouseDragging(ImGuiMouseButton_Left)) view.range = Steps{std::min(from, step), std::max(from, step)};
  if (!ImGui::IsMouseDown(ImGuiMouseButton_Left)) view.dragged_range.reset();
}

void select_step_by_click(Session& session, SharedView& view) {
  if (!ImPlot::IsPlotHovered()) return;
  view.focus = Focus::timeline;
  if (ImGui::IsMouseDoubleClicked(ImGuiMouseButton_Left)) {
    view.steps = all_steps(session.trace()->info);
    view.fit_timeline = true;
  }
  if (plot_clicked()) session.select_step(cell_at(ImPlot::GetPlotMousePos().x));
}

std::string describe_step(const Session& session, int32_t step) {
  const LayerReplay* replay = session.layer();
  const TraceInfo& info = session.trace()->info;
  if (replay == nullptr || step < 1 || step > info.n_step) return {};
  const auto cell = static_cast<size_t>((step - 1) * info.n_kv_head + session.selection().kv_head);
  const StepRole role = role_of(*replay, cell, info.n_prompt - 1 + step);
  std::string text = fmt::format("step {}: {}, {} positions, recovered {:.4f}", step, role_name(role),
                                 replay->positions[cell], replay->recovered[cell]);
  if (std::isfinite(replay->cos[cell])) text += fmt::format(", similarity {:.4f}", replay->cos[cell]);
  if (std::isfinite(replay->overlap[cell])) text += fmt::format(", overlap {:.3f}", replay->overlap[cell]);
  return text;
}

void show_step_under_mouse(const Session& session, const std::string& more) {
  if (!ImPlot::IsPlotHovered()) return;
  const int32_t step = cell_at(ImPlot::GetPlotMousePos().x);
  std::string text = describe_step(session, step);
  if (!text.empty()) text += step_beside_baseline(session, step);
  if (!more.empty()) text += (text.empty() ? "" : "\n") + more;
  if (!text.empty()) ImGui::SetTooltip("%s", text.c_str());
}

void toggle_play(Session& session, SharedView& view) {
  if (session.trace() == nullptr || view.player.playing()) return view.player.stop();
  if (session.selection().step >= session.trace()->info.n_step) session.select_step(1);
  view.player.start();
}

void play_on(Session& session, SharedView& view, double seconds) {
  if (!view.player.playing() || session.trace() == nullptr) return;
  session.select_step(view.player.advance(session.selection().step, session.trace()->info.n_step, seconds));
}

void plot_over_steps(const char* label, const std::vector<float>& array, int32_t n_head, int32_t head, ImVec4 color) {
  if (array.empty() || std::all_of(array.begin(), array.end(), [](float x) { return std::isnan(x); })) return;
  ImPlotSpec spec;
  spec.Flags = ImPlotLineFlags_SkipNaN;
  spec.LineColor = color;
  spec.LineWeight = 1.5F;
  if (static_cast<int>(array.size()) == n_head) spec.Marker = ImPlotMarker_Circle;  // a line of one step shows nothing
  struct Data {
    const float* values;  ///< [T][n_head], from the head on
    int32_t stride;
  } data{array.data() + head, n_head};
  ImPlot::PlotLineG(
      label,
      [](int i, void* user) {
        const auto& d = *static_cast<const Data*>(user);
        return ImPlotPoint(i + 1, double{d.values[int64_t{i} * d.stride]});
      },
      &data, static_cast<int>(array.size()) / n_head, spec);
}

}  // namespace reattend::viz
