// The attention panel, of one layer and KV head: steps downwards, positions across, weights exact under the mouse.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <implot.h>

#include "viz/panels/panel.h"
#include "viz/panels/plot_helpers.h"
#include "viz/panels/step_axis.h"
#include "viz/render/heatmap.h"
#include "viz/render/theme.h"

namespace reattend::viz {
namespace {

class AttentionMap : public Panel {
 public:
  const char* name() const override { return "Attention"; }
  Dock dock() const override { return Dock::centre_bottom; }
  const char* shows() const override {
    return "Attention of a layer: steps downwards, positions across; blue is attended to under the policy, orange is "
           "lost.";
  }
  void draw(Session& session, SharedView& view) override;

 private:
  void draw_controls(Session& session, SharedView& view);
  void draw_plot(Session& session, SharedView& view, ImVec2 size);
  void draw_cells(const Session& session, const SharedView& view, const HeatMatrix& matrix);
  void draw_cross(const Session& session, const SharedView& view) const;
  void react(Session& session, SharedView& view);
  void draw_scale(const Session& session, const SharedView& view, ImVec2 size) const;
  HeatColors colors(const SharedView& view, bool marked) const;

  HeatMap map_;
  float low_ = 1e-5F, high_ = 1;
};

void show_all(const TraceInfo& info, SharedView& view) {
  view.steps = all_steps(info);
  view.fit_heat_map = true;
}

HeatColors AttentionMap::colors(const SharedView& view, bool marked) const {
  HeatColors colors;
  colors.scale = {.low = view.logarithmic ? low_ : 0, .high = high_, .logarithmic = view.logarithmic};
  if (marked) colors.positive = Colormap::blues, colors.negative = Colormap::oranges;
  return colors;
}

void AttentionMap::draw_controls(Session& session, SharedView& view) {
  const TraceInfo& info = session.trace()->info;
  const float width = ImGui::GetFontSize();
  int layer = session.selection().layer, head = session.selection().kv_head;
  ImGui::SetNextItemWidth(width * 8);
  if (ImGui::SliderInt("##layer", &layer, 0, info.n_layer - 1, "layer %d", ImGuiSliderFlags_AlwaysClamp)) {
    session.select_layer(layer);
  }
  ImGui::SetItemTooltip("layer ([ and ])");
  ImGui::SameLine();
  ImGui::SetNextItemWidth(width * 7);
  if (ImGui::SliderInt("##head", &head, 0, info.n_kv_head - 1, "KV head %d", ImGuiSliderFlags_AlwaysClamp)) {
    session.select_kv_head(head);
  }
  ImGui::SetItemTooltip("KV head (up and down): the mean of its %d query heads' rows", info.group());
  ImGui::SameLine();
  ImGui::Checkbox("attended", &view.marks);
  ImGui::SetItemTooltip("blue: positions the simulated policy attends to; orange: attention that it loses");
  ImGui::SameLine();
  ImGui::Checkbox("log", &view.logarithmic);
  ImGui::SetItemTooltip("logarithmic colours: on a linear scale the first tokens drown all others");
  ImGui::SameLine();
  ImGui::SetNextItemWidth(width * 11);
  ImGui::DragFloatRange2("##range", &low_, &high_, 0.01F, 1e-7F, 1, "%.1e", "%.2g",
                         ImGuiSliderFlags_Logarithmic | ImGuiSliderFlags_AlwaysClamp);
  ImGui::SetItemTooltip("weights at the ends of the colour scale (drag, or double-click to type)");
  high_ = std::max(high_, low_ * 1.01F);
  ImGui::SameLine();
  if (ImGui::Button("fit")) show_all(info, view);
  ImGui::SetItemTooltip("show everything (F)");
}

void AttentionMap::draw_cells(const Session& session, const SharedView& view, const HeatMatrix& matrix) {
  const ImVec2 corner = ImPlot::GetPlotPos(), size = ImPlot::GetPlotSize();
  const ImPlotRect limits = ImPlot::GetPlotLimits();
  const double first_step = session.rows()->first_step;
  const HeatView part{limits.X.Min + 0.5, limits.X.Max + 0.5, limits.Y.Min + 0.5 - first_step,
                      limits.Y.Max + 0.5 - first_step};
  ImPlot::PushPlotClipRect();
  map_.draw(*ImPlot::GetPlotDrawList(), ImVec2(std::floor(corner.x), std::floor(corner.y)),
            static_cast<int32_t>(size.x), static_cast<int32_t>(size.y), matrix, part, colors(view, view.marks));
  ImPlot::PopPlotClipRect();
}

void AttentionMap::draw_cross(const Session& session, const SharedView& view) const {
  const ImVec2 corner = ImPlot::GetPlotPos(), size = ImPlot::GetPlotSize();
  const ImU32 color = ImGui::ColorConvertFloat4ToU32(palette(view.light).cursor);
  const Selection& at = session.selection();
  ImDrawList& list = *ImPlot::GetPlotDrawList();
  ImPlot::PushPlotClipRect();
  // Markers at the edges: a line across would hide the very row that is selected.
  const float top = ImPlot::PlotToPixels(0, at.step - 0.5).y, bottom = ImPlot::PlotToPixels(0, at.step + 0.5).y;
  const float middle = (top + bottom) / 2, mark = ImGui::GetFontSize() * 0.5F;
  for (const float x : {corner.x, corner.x + size.x}) {
    const float inward = x == corner.x ? mark : -mark;
    list.AddTriangleFilled(ImVec2(x, middle - mark * 0.6F), ImVec2(x, middle + mark * 0.6F), ImVec2(x + inward, middle),
                           color);
  }
  if (at.position >= 0) {
    const float x = ImPlot::PlotToPixels(at.position, 0).x;
    list.AddTriangleFilled(ImVec2(x - mark * 0.6F, corner.y), ImVec2(x + mark * 0.6F, corner.y),
                           ImVec2(x, corner.y + mark), color);
  }
  ImPlot::PopPlotClipRect();
}

void AttentionMap::react(Session& session, SharedView& view) {
  if (!ImPlot::IsPlotHovered()) return;
  view.focus = Focus::heat_map;
  const ImPlotPoint mouse = ImPlot::GetPlotMousePos();
  const Cell cell{cell_at(mouse.y), cell_at(mouse.x)};
  if (ImGui::IsMouseDoubleClicked(ImGuiMouseButton_Left)) show_all(session.trace()->info, view);
  const std::optional<float> weight = session.weight(cell.step, cell.position);
  if (!weight) return;
  view.next_hover = cell;
  const std::optional<bool> attended = session.attended(cell.step, cell.position);
  std::string text = fmt::format("step {}, position {}\ntoken \u201c{}\u201d\nweight {:.9g}", cell.step, cell.position,
                                 session.token_text(cell.position), *weight);
  if (attended) text += *attended ? "\nattended" : "\nnot attended";
  ImGui::SetTooltip("%s", text.c_str());
  if (plot_clicked()) {
    session.select_step(cell.step);
    session.select_position(cell.position);
  }
}

void AttentionMap::draw_plot(Session& session, SharedView& view, ImVec2 size) {
  if (!ImPlot::BeginPlot("##attention", size, ImPlotFlags_NoTitle | ImPlotFlags_NoLegend | ImPlotFlags_NoMouseText))
    return;
  ImPlot::SetupAxis(ImAxis_X1, "position", ImPlotAxisFlags_NoGridLines);
  set_up_whole_ticks(ImAxis_X1, view.heat_positions, size.x);
  ImPlot::SetupAxisLinks(ImAxis_X1, &view.heat_positions.low, &view.heat_positions.high);
  const TraceInfo& info = session.trace()->info;
  const Limits positions = cells(0, info.n_prompt + info.n_step - 1);
  const double most = positions.high - positions.low;
  ImPlot::SetupAxisLimitsConstraints(ImAxis_X1, positions.low, positions.high);
  ImPlot::SetupAxisZoomConstraints(ImAxis_X1, std::min(4.0, most), most);
  set_up_step_axis(info, view, StepsGo::down, "step", ImPlotAxisFlags_NoGridLines | ImPlotAxisFlags_Invert, size.y);
  const HeatMatrix matrix = session.attention(view.marks);
  if (matrix.values != nullptr) {
    draw_cells(session, view, matrix);
    draw_cross(session, view);
    react(session, view);
  } else if (session.waiting_for(Task::rows)) {
    const ImVec2 corner = ImPlot::GetPlotPos();
    ImPlot::GetPlotDrawList()->AddText(ImVec2(corner.x + 10, corner.y + 10), ImGui::GetColorU32(ImGuiCol_Text),
                                       "computing attention rows ...");
  }
  draw_step_marks(session, view, StepsGo::down);
  mark_range(info, view, StepsGo::down);
  view.heat_corner = ImPlot::GetPlotPos(), view.heat_size = ImPlot::GetPlotSize();
  ImPlot::EndPlot();
}

void AttentionMap::draw_scale(const Session& session, const SharedView& view, ImVec2 size) const {
  const bool marked = view.marks && session.layer() != nullptr;
  const HeatColors shown = colors(view, marked);
  ImDrawList& list = *ImGui::GetWindowDrawList();
  const ImVec2 corner = ImGui::GetCursorScreenPos();
  ImGui::Dummy(size);
  const float line = ImGui::GetFontSize();
  const float bar = line * (marked ? 0.55F : 1.1F), top = corner.y + line * 0.6F, height = size.y - line * 1.8F;
  color_bands(list, ImVec2(corner.x, top), ImVec2(bar, height), color_table(shown.positive));
  if (marked) color_bands(list, ImVec2(corner.x + bar + 1, top), ImVec2(bar, height), color_table(shown.negative));
  const ImU32 text = ImGui::GetColorU32(ImGuiCol_Text);
  const float text_x = corner.x + line * 1.3F;
  // Decades on a logarithmic scale, quarters on a linear one.
  const int n_tick = view.logarithmic ? 8 : 5;
  for (int i = 0; i < n_tick; ++i) {
    const float value = view.logarithmic ? std::pow(10.0F, -static_cast<float>(i))
                                         : high_ * static_cast<float>(i) / static_cast<float>(n_tick - 1);
    if (value > high_ * 1.001F || value < shown.scale.low * 0.999F) continue;
    const float y = top + height * (1 - shown.scale.place(value));
    const std::string label = view.logarithmic && i > 2 ? fmt::format("1e-{}", i) : fmt::format("{:.3g}", value);
    list.AddText(ImVec2(text_x, y - line / 2), text, label.c_str());
  }
}

void AttentionMap::draw(Session& session, SharedView& view) {
  if (session.trace() == nullptr) return;
  const TraceInfo& info = session.trace()->info;
  if (info.n_step == 0) {
    ImGui::TextWrapped("This trace holds no decode steps: %s.", kNoStepRemedy);
    return;
  }
  if (view.fit_heat_map) {
    view.heat_positions = cells(0, info.n_prompt + info.n_step - 1);
    view.fit_heat_map = false;
  }
  draw_controls(session, view);
  const ImVec2 room = ImGui::GetContentRegionAvail();
  const float scale_width = ImGui::GetFontSize() * 4;
  draw_plot(session, view, ImVec2(room.x - scale_width - ImGui::GetStyle().ItemSpacing.x, room.y));
  ImGui::SameLine();
  draw_scale(session, view, ImVec2(scale_width, room.y));
}

}  // namespace

std::unique_ptr<Panel> make_heat_map() {
  return std::make_unique<AttentionMap>();
}

}  // namespace reattend::viz
