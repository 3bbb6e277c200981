// Draws the map with what is unknown left to stripes, and says why under the mouse.
#include "viz/panels/layer_map.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <implot.h>

#include "viz/panels/plot_helpers.h"
#include "viz/panels/step_axis.h"
#include "viz/render/theme.h"
#include "viz/session/layer_windows.h"

namespace reattend::viz {
namespace {

constexpr const char* kMeasureNames[kLayerMeasures] = {"choosing anew", "lost mass", "lost overlap", "output error"};

}  // namespace

void LayerMap::draw_choice(const Session& session) {
  ImGui::AlignTextToFramePadding();
  ImGui::TextUnformatted("layers:");
  ImGui::SameLine();
  ImGui::SetNextItemWidth(ImGui::GetFontSize() * 8.5F);
  if (recorded_trace_ != session.trace_version()) {
    recorded_trace_ = session.trace_version(), recorded_measure_ = -1;
    recorded_ = measures_of(session.trace()->info);
    std::erase_if(recorded_, [](const Measure& each) { return !each.by_layer(); });
    measure_ = std::min(measure_, kLayerMeasures + static_cast<int>(recorded_.size()) - 1);
  }
  const int n_measure = kLayerMeasures + static_cast<int>(recorded_.size());
  if (ImGui::BeginCombo("##measure", measure_name(measure_).c_str())) {
    for (int i = 0; i < n_measure; ++i) {
      if (i == kLayerMeasures) ImGui::SeparatorText("recorded");
      ImGui::PushID(i);
      if (ImGui::Selectable(measure_name(i).c_str(), i == measure_)) measure_ = i;
      ImGui::PopID();
    }
    ImGui::EndCombo();
  }
  ImGui::SetItemTooltip("what the map of layers and steps shows (mean over KV heads; bright is more)");
}

std::string LayerMap::measure_name(int measure) const {
  return measure < kLayerMeasures ? kMeasureNames[measure]
                                  : recorded_[static_cast<size_t>(measure - kLayerMeasures)].title;
}

HeatMatrix LayerMap::shown_map(const Session& session) {
  if (measure_ < kLayerMeasures) return session.layer_map(static_cast<LayerMeasure>(measure_));
  const TraceInfo& info = session.trace()->info;
  if (recorded_measure_ != measure_) {
    recorded_measure_ = measure_;
    recorded_map_.clear(), recorded_high_ = 1e-6F;
    const Measure& measure = recorded_[static_cast<size_t>(measure_ - kLayerMeasures)];
    for (int32_t l = 0; l < info.n_layer; ++l) {
      for (int32_t t = 1; t <= info.n_step; ++t) {
        const Over over = {.first_step = t, .last_step = t, .layer = l};
        const auto value = static_cast<float>(mean_of(measure, info, session.trace()->steps, over));
        recorded_map_.push_back(value);
        recorded_high_ = value > recorded_high_ ? value : recorded_high_;  // which NaN is not
      }
    }
  }
  return {recorded_map_.data(), info.n_layer, info.n_step, {}, recorded_trace_ << 32 | static_cast<uint64_t>(measure_)};
}

HeatColors LayerMap::shown_colors() const {
  HeatColors colors;
  if (measure_ >= kLayerMeasures) {
    colors.scale = {.low = 0, .high = recorded_high_, .logarithmic = false};
    return colors;
  }
  const auto measure = static_cast<LayerMeasure>(measure_);
  const bool shares = measure == LayerMeasure::decision || measure == LayerMeasure::lost_overlap;
  colors.scale = {.low = shares ? 0.0F : 1e-3F, .high = 1, .logarithmic = !shares};
  if (measure == LayerMeasure::decision) colors.positive = Colormap::oranges;
  return colors;
}

void LayerMap::draw_windows(const TraceInfo& info) {
  ImDrawList& list = *ImPlot::GetPlotDrawList();
  const ImVec2 corner = ImPlot::GetPlotPos(), size = ImPlot::GetPlotSize();
  const float em = ImGui::GetFontSize();
  for (const WindowRun& run : window_runs(info)) {
    const float top = ImPlot::PlotToPixels(0, run.first - 0.5).y, bottom = ImPlot::PlotToPixels(0, run.last + 0.5).y;
    list.AddRectFilled(ImVec2(corner.x, top), ImVec2(corner.x + size.x, bottom), IM_COL32(52, 56, 64, 255));
    if (bottom - top > em) {
      list.AddText(ImVec2(corner.x + 0.5F * em, (top + bottom - em) / 2), IM_COL32(214, 218, 224, 255),
                   fmt::format("window of {}", run.window).c_str());
    }
  }
}

void LayerMap::draw_cells(const Session& session, const HeatMatrix& matrix) {
  const TraceInfo& info = session.trace()->info;
  const ImVec2 corner = ImPlot::GetPlotPos(), size = ImPlot::GetPlotSize();
  const ImPlotRect limits = ImPlot::GetPlotLimits();
  // Row 0 is layer 0, column 0 is step 1.
  const HeatView part{limits.X.Min - 0.5, limits.X.Max - 0.5, 0.0, static_cast<double>(info.n_layer)};
  ImPlot::PushPlotClipRect();
  hatch(*ImPlot::GetPlotDrawList(), corner, size);  // what is unknown lets it through
  map_.draw(*ImPlot::GetPlotDrawList(), ImVec2(std::floor(corner.x), std::floor(corner.y)),
            static_cast<int32_t>(size.x), static_cast<int32_t>(size.y), matrix, part, shown_colors());
  draw_windows(info);
  const ImU32 cursor = ImGui::ColorConvertFloat4ToU32(palette(false).cursor);
  const ImVec2 low = ImPlot::PlotToPixels(limits.X.Min, session.selection().layer - 0.5);
  const ImVec2 high = ImPlot::PlotToPixels(limits.X.Max, session.selection().layer + 0.5);
  ImPlot::GetPlotDrawList()->AddRect(low, high, cursor);
  ImPlot::PopPlotClipRect();
  vertical_line(session.selection().step, palette(false).cursor);
}

void LayerMap::point_at(Session& session, const HeatMatrix& matrix) {
  if (!ImPlot::IsPlotHovered()) return;
  const TraceInfo& info = session.trace()->info;
  const ImPlotPoint mouse = ImPlot::GetPlotMousePos();
  const int32_t layer = cell_at(mouse.y), step = cell_at(mouse.x);
  if (layer < 0 || layer >= info.n_layer || step < 1 || step > info.n_step) return;
  const float value = matrix.values[int64_t{layer} * info.n_step + step - 1];
  const std::string why = measure_ < kLayerMeasures ? session.why_unknown(static_cast<LayerMeasure>(measure_), layer)
                                                    : "the trace has not measured it";
  const std::string known = !info.acts(layer)   ? "none: " + why
                            : std::isnan(value) ? "unknown: " + why
                                                : fmt::format("{:.4g}", static_cast<double>(value));
  ImGui::SetTooltip("layer %d, step %d: %s %s", layer, step, measure_name(measure_).c_str(), known.c_str());
  if (plot_clicked()) session.select_layer(layer);
}

void LayerMap::draw(Session& session, SharedView& view, float height) {
  const TraceInfo& info = session.trace()->info;
  const float width = ImGui::GetContentRegionAvail().x;
  if (!ImPlot::BeginPlot("##layers", ImVec2(-1, height), ImPlotFlags_CanvasOnly)) return;
  constexpr ImPlotAxisFlags kBare =
      ImPlotAxisFlags_NoTickLabels | ImPlotAxisFlags_NoGridLines | ImPlotAxisFlags_NoTickMarks;
  set_up_step_axis(info, view, StepsGo::across, nullptr, kBare, width);
  ImPlot::SetupAxis(ImAxis_Y1, "layer", ImPlotAxisFlags_Invert | ImPlotAxisFlags_Lock | ImPlotAxisFlags_NoGridLines);
  ImPlot::SetupAxisLimits(ImAxis_Y1, -0.5, info.n_layer - 0.5, ImPlotCond_Always);
  set_up_whole_ticks(ImAxis_Y1, cells(0, info.n_layer - 1), height);
  const HeatMatrix matrix = shown_map(session);
  if (matrix.values != nullptr) {
    draw_cells(session, matrix);
    point_at(session, matrix);
  }
  if (session.waiting_for(Task::masses)) {
    const int32_t n_done = session.answer() != nullptr ? session.answer()->n_done : 0;
    ImPlot::Annotation(0.5 * (view.steps.low + view.steps.high), 0.5 * info.n_layer, ImVec4(0, 0, 0, 0), ImVec2(0, 0),
                       false, "%d of %d layers", n_done, info.n_stored());
  }
  draw_step_marks(session, view, StepsGo::across);
  mark_range(info, view, StepsGo::across);
  select_step_by_click(session, view);
  ImPlot::EndPlot();
}

}  // namespace reattend::viz
