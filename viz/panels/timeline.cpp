// The timeline panel, steps from left to right: every layer's decisions or losses, the selected layer's similarity with
// its threshold, its measures.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <implot.h>

#include "policies/shared_parameters.h"
#include "traces/step_means.h"
#include "viz/panels/panel.h"
#include "viz/panels/plot_helpers.h"
#include "viz/render/heatmap.h"
#include "viz/render/theme.h"

namespace reattend::viz {
namespace {

constexpr const char* kMeasureNames[kLayerMeasures] = {"choosing anew", "lost mass", "lost overlap", "output error"};

class Timeline : public Panel {
 public:
  const char* name() const override { return "Timeline"; }
  Dock dock() const override { return Dock::centre_top; }
  void draw(Session& session, SharedView& view) override;

 private:
  void draw_controls(Session& session);
  /// What the map shows: a measure of the replay, or one that the trace recorded.
  HeatMatrix shown_map(const Session& session);
  std::string measure_name(int measure) const;
  HeatColors shown_colors() const;
  void draw_layer_map(Session& session, SharedView& view, float height);
  void draw_lane(Session& session, SharedView& view, float height);
  void draw_similarity(Session& session, SharedView& view, float height);
  void draw_measures(Session& session, SharedView& view, float height);
  void drag_threshold(Session& session, SharedView& view);
  /// One curve over the steps: head `head` of n_head in array [T][n_head].
  void plot_curve(const char* label, const std::vector<float>& array, int32_t n_head, int32_t head, ImVec4 color) const;
  void set_up_steps(const Session& session, SharedView& view, ImPlotAxisFlags flags) const;
  /// "step 7: full, 812 positions, ..." of the selected layer and head; empty where there is no such step.
  std::string describe(const Session& session, int32_t step) const;
  void show_step_under_mouse(const Session& session) const;
  void select_by_click(Session& session, SharedView& view);

  HeatMap layer_map_;
  int measure_ = static_cast<int>(LayerMeasure::lost_mass);  ///< from kLayerMeasures on: of recorded_
  std::vector<Measure> recorded_;                            ///< measures of the trace that have layers
  std::vector<float> recorded_map_;                          ///< [n_layer][T] of one of them; NaN: not measured
  uint64_t recorded_trace_ = 0;                              ///< the trace that recorded_ is of
  int recorded_measure_ = -1;                                ///< the measure that recorded_map_ is of
  Limits similarity_;                                        ///< y axis of the similarity
  Limits shares_{0, 1.02};
  bool fit_similarity_ = true;
  bool dragging_ = false;
};

void Timeline::set_up_steps(const Session& session, SharedView& view, ImPlotAxisFlags flags) const {
  const int32_t n_step = session.trace()->info.n_step;
  ImPlot::SetupAxis(ImAxis_X1, nullptr, flags);
  ImPlot::SetupAxisLinks(ImAxis_X1, &view.steps.low, &view.steps.high);
  set_up_whole_ticks(ImAxis_X1, view.steps, ImGui::GetContentRegionAvail().x);
  const Limits all = cells(1, n_step);
  ImPlot::SetupAxisLimitsConstraints(ImAxis_X1, all.low, all.high);
  ImPlot::SetupAxisZoomConstraints(ImAxis_X1, std::min(4.0, all.high - all.low), all.high - all.low);
}

std::string Timeline::describe(const Session& session, int32_t step) const {
  const LayerReplay* replay = session.layer();
  const TraceInfo& info = session.trace()->info;
  if (replay == nullptr || step < 1 || step > info.n_step) return {};
  const auto cell = static_cast<size_t>((step - 1) * info.n_kv_head + session.selection().kv_head);
  const StepRole role = role_of(*replay, cell, info.n_prompt - 1 + step);
  const char* const name = role == StepRole::full ? "full" : role == StepRole::selects ? "chooses anew" : "partial";
  std::string text = fmt::format("step {}: {}, {} positions, recovered {:.4f}", step, name, replay->positions[cell],
                                 replay->recovered[cell]);
  if (std::isfinite(replay->cos[cell])) text += fmt::format(", similarity {:.4f}", replay->cos[cell]);
  if (std::isfinite(replay->overlap[cell])) text += fmt::format(", overlap {:.3f}", replay->overlap[cell]);
  return text;
}

void Timeline::show_step_under_mouse(const Session& session) const {
  if (!ImPlot::IsPlotHovered() || dragging_) return;
  const std::string text = describe(session, cell_at(ImPlot::GetPlotMousePos().x));
  if (!text.empty()) ImGui::SetTooltip("%s", text.c_str());
}

void Timeline::select_by_click(Session& session, SharedView& view) {
  if (!ImPlot::IsPlotHovered()) return;
  view.focus = Focus::timeline;
  if (plot_clicked() && !dragging_) session.select_step(cell_at(ImPlot::GetPlotMousePos().x));
}

void Timeline::plot_curve(const char* label, const std::vector<float>& array, int32_t n_head, int32_t head,
                          ImVec4 color) const {
  if (array.empty() || std::all_of(array.begin(), array.end(), [](float x) { return std::isnan(x); })) return;
  ImPlotSpec spec;
  spec.Flags = ImPlotLineFlags_SkipNaN;
  spec.LineColor = color;
  spec.LineWeight = 1.5F;
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

void Timeline::draw_controls(Session& session) {
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
  const Selection& at = session.selection();
  const std::string text = fmt::format("layer {}, KV head {}; {}", at.layer, at.kv_head, describe(session, at.step));
  ImGui::SameLine();
  ImGui::PushTextWrapPos(0);
  ImGui::TextUnformatted(text.c_str());
  ImGui::PopTextWrapPos();
}

std::string Timeline::measure_name(int measure) const {
  return measure < kLayerMeasures ? kMeasureNames[measure]
                                  : recorded_[static_cast<size_t>(measure - kLayerMeasures)].title;
}

HeatMatrix Timeline::shown_map(const Session& session) {
  if (measure_ < kLayerMeasures) return session.layer_map(static_cast<LayerMeasure>(measure_));
  const TraceInfo& info = session.trace()->info;
  if (recorded_measure_ != measure_) {
    recorded_measure_ = measure_;
    recorded_map_.clear();
    const Measure& measure = recorded_[static_cast<size_t>(measure_ - kLayerMeasures)];
    for (int32_t l = 0; l < info.n_layer; ++l) {
      for (int32_t t = 1; t <= info.n_step; ++t) {
        const Over over = {.first_step = t, .last_step = t, .layer = l};
        recorded_map_.push_back(static_cast<float>(mean_of(measure, info, session.trace()->steps, over)));
      }
    }
  }
  return {recorded_map_.data(), info.n_layer, info.n_step, {}, recorded_trace_ << 32 | static_cast<uint64_t>(measure_)};
}

HeatColors Timeline::shown_colors() const {
  HeatColors colors;
  if (measure_ >= kLayerMeasures) {
    float high = 1e-6F;
    for (const float x : recorded_map_) high = x > high ? x : high;  // which NaN is not
    colors.scale = {.low = 0, .high = high, .logarithmic = false};
    return colors;
  }
  const auto measure = static_cast<LayerMeasure>(measure_);
  const bool shares = measure == LayerMeasure::decision || measure == LayerMeasure::lost_overlap;
  colors.scale = {.low = shares ? 0.0F : 1e-3F, .high = 1, .logarithmic = !shares};
  if (measure == LayerMeasure::decision) colors.positive = Colormap::oranges;
  return colors;
}

void Timeline::draw_layer_map(Session& session, SharedView& view, float height) {
  const TraceInfo& info = session.trace()->info;
  if (!ImPlot::BeginPlot("##layers", ImVec2(-1, height), ImPlotFlags_CanvasOnly)) return;
  set_up_steps(session, view, ImPlotAxisFlags_NoTickLabels | ImPlotAxisFlags_NoGridLines | ImPlotAxisFlags_NoTickMarks);
  ImPlot::SetupAxis(ImAxis_Y1, "layer", ImPlotAxisFlags_Invert | ImPlotAxisFlags_Lock | ImPlotAxisFlags_NoGridLines);
  ImPlot::SetupAxisLimits(ImAxis_Y1, -0.5, info.n_layer - 0.5, ImPlotCond_Always);
  set_up_whole_ticks(ImAxis_Y1, cells(0, info.n_layer - 1), height);

  const HeatMatrix matrix = shown_map(session);
  const ImVec2 corner = ImPlot::GetPlotPos(), size = ImPlot::GetPlotSize();
  if (matrix.values != nullptr) {
    const ImPlotRect limits = ImPlot::GetPlotLimits();
    // Row 0 is layer 0, column 0 is step 1.
    const HeatView part{limits.X.Min - 0.5, limits.X.Max - 0.5, 0.0, static_cast<double>(info.n_layer)};
    ImPlot::PushPlotClipRect();
    hatch(*ImPlot::GetPlotDrawList(), corner, size);  // what is unknown lets it through
    layer_map_.draw(*ImPlot::GetPlotDrawList(), ImVec2(std::floor(corner.x), std::floor(corner.y)),
                    static_cast<int32_t>(size.x), static_cast<int32_t>(size.y), matrix, part, shown_colors());
    const ImU32 cursor = ImGui::ColorConvertFloat4ToU32(palette(false).cursor);
    const ImVec2 low = ImPlot::PlotToPixels(limits.X.Min, session.selection().layer - 0.5);
    const ImVec2 high = ImPlot::PlotToPixels(limits.X.Max, session.selection().layer + 0.5);
    ImPlot::GetPlotDrawList()->AddRect(low, high, cursor);
    ImPlot::PopPlotClipRect();
    vertical_line(session.selection().step, palette(false).cursor);
    if (ImPlot::IsPlotHovered()) {
      const ImPlotPoint mouse = ImPlot::GetPlotMousePos();
      const int32_t layer = cell_at(mouse.y), step = cell_at(mouse.x);
      if (layer >= 0 && layer < info.n_layer && step >= 1 && step <= info.n_step) {
        const float value = matrix.values[int64_t{layer} * info.n_step + step - 1];
        const std::string why = measure_ < kLayerMeasures
                                    ? session.why_unknown(static_cast<LayerMeasure>(measure_), layer)
                                    : "the trace has not measured it";
        const std::string known =
            std::isnan(value) ? "unknown: " + why : fmt::format("{:.4g}", static_cast<double>(value));
        ImGui::SetTooltip("layer %d, step %d: %s %s", layer, step, measure_name(measure_).c_str(), known.c_str());
        if (plot_clicked()) session.select_layer(layer);
      }
    }
  }
  if (session.waiting_for(Task::masses)) {
    const int32_t n_done = session.answer() != nullptr ? session.answer()->n_done : 0;
    ImPlot::Annotation(0.5 * (view.steps.low + view.steps.high), 0.5 * info.n_layer, ImVec4(0, 0, 0, 0), ImVec2(0, 0),
                       false, "%d of %d layers", n_done, info.n_stored());
  }
  select_by_click(session, view);
  ImPlot::EndPlot();
}

void Timeline::draw_lane(Session& session, SharedView& view, float height) {
  const LayerReplay* replay = session.layer();
  const TraceInfo& info = session.trace()->info;
  if (!ImPlot::BeginPlot("##lane", ImVec2(-1, height), ImPlotFlags_CanvasOnly)) return;
  set_up_steps(session, view, ImPlotAxisFlags_NoDecorations);
  // The same labels as the other plots have would not fit: the axis keeps their width, so that all steps align.
  ImPlot::SetupAxis(ImAxis_Y1, nullptr, ImPlotAxisFlags_Invert | ImPlotAxisFlags_Lock | ImPlotAxisFlags_NoDecorations);
  ImPlot::SetupAxisLimits(ImAxis_Y1, 0, 1, ImPlotCond_Always);
  if (replay != nullptr) {
    ImDrawList& list = *ImPlot::GetPlotDrawList();
    const Palette& colors = palette(view.light);
    const ImU32 full = ImGui::ColorConvertFloat4ToU32(colors.full);
    const ImU32 partial = ImGui::ColorConvertFloat4ToU32(colors.partial);
    const ImU32 selects = ImGui::ColorConvertFloat4ToU32(colors.kept);
    const int32_t first = std::clamp(cell_at(view.steps.low), 1, info.n_step);
    const int32_t last = std::clamp(cell_at(view.steps.high), 1, info.n_step);
    ImPlot::PushPlotClipRect();
    const ImVec2 corner = ImPlot::GetPlotPos(), size = ImPlot::GetPlotSize();
    list.AddRectFilled(corner, ImVec2(corner.x + size.x, corner.y + size.y), partial);
    for (int32_t head = 0; head < info.n_kv_head; ++head) {
      for (int32_t t = first; t <= last; ++t) {
        const auto cell = static_cast<size_t>((t - 1) * info.n_kv_head + head);
        const StepRole role = role_of(*replay, cell, info.n_prompt - 1 + t);
        if (role == StepRole::partial) continue;
        const ImVec2 low = ImPlot::PlotToPixels(t - 0.5, head / static_cast<double>(info.n_kv_head));
        const ImVec2 high = ImPlot::PlotToPixels(t + 0.5, (head + 1) / static_cast<double>(info.n_kv_head));
        // A full step stays visible where many share a pixel.
        list.AddRectFilled(low, ImVec2(std::max(high.x, low.x + 1), high.y), role == StepRole::full ? full : selects);
      }
    }
    ImPlot::PopPlotClipRect();
    vertical_line(session.selection().step, colors.cursor);
  }
  show_step_under_mouse(session);
  select_by_click(session, view);
  ImPlot::EndPlot();
}

void Timeline::drag_threshold(Session& session, SharedView& view) {
  view.threshold_line = {};
  if (!session.settings().takes(kThreshold.key)) return;
  const int32_t layer = session.selection().layer;
  double threshold = session.settings().real(kThreshold.key, layer);
  const bool active = session.settings().decides(kThreshold.key);
  ImVec4 color = palette(view.light).threshold;
  if (!active) color.w = 0.45F;
  const bool moved = ImPlot::DragLineY(0, &threshold, color, active ? 2.0F : 1.0F, ImPlotDragToolFlags_NoFit, nullptr,
                                       nullptr, &dragging_);
  ImPlot::TagY(threshold, color, "%.3f", threshold);
  const ImVec2 corner = ImPlot::GetPlotPos(), size = ImPlot::GetPlotSize();
  view.threshold_line = ImVec2(corner.x + size.x / 2, ImPlot::PlotToPixels(0, threshold).y);
  view.threshold_zero = ImPlot::PlotToPixels(0, 0);
  view.threshold_one = ImPlot::PlotToPixels(0, 1);
  if (!moved) return;
  threshold = std::clamp(threshold, kThreshold.low, kThreshold.high);
  Settings settings = session.settings();
  const Value& old = settings.get(kThreshold.key);
  if (const auto* list = std::get_if<std::vector<double>>(&old)) {
    std::vector<double> per_layer = *list;
    per_layer[static_cast<size_t>(layer)] = threshold;
    settings.set(kThreshold.key, per_layer);
  } else {
    settings.set(kThreshold.key, threshold);
  }
  // A fixed schedule ignores the threshold; who moves it wants it to decide.
  settings.let_decide(kThreshold.key);
  session.set_settings(settings);
}

void Timeline::draw_similarity(Session& session, SharedView& view, float height) {
  const LayerReplay* replay = session.layer();
  const TraceInfo& info = session.trace()->info;
  const Palette& colors = palette(view.light);
  if (fit_similarity_ && replay != nullptr) {
    double low = 0.9;
    for (const float c : replay->cos) {
      if (std::isfinite(c)) low = std::min(low, static_cast<double>(c));
    }
    if (session.settings().takes(kThreshold.key)) {
      low = std::min(low, session.settings().real(kThreshold.key, session.selection().layer));
    }
    similarity_ = {std::max(-1.05, low - 0.06), 1.02};
    fit_similarity_ = false;
  }
  if (!ImPlot::BeginPlot("##similarity", ImVec2(-1, height),
                         ImPlotFlags_NoTitle | ImPlotFlags_NoLegend | ImPlotFlags_NoMouseText))
    return;
  set_up_steps(session, view, ImPlotAxisFlags_NoTickLabels);
  ImPlot::SetupAxis(ImAxis_Y1, "similarity");
  Limits covered{0, 0};  // by the threshold's label; read at the plot's first item
  if (replay != nullptr && session.settings().takes(kThreshold.key)) {
    const double threshold = session.settings().real(kThreshold.key, session.selection().layer);
    covered = label_room(threshold, similarity_, height);
  }
  ImPlot::SetupAxisFormat(ImAxis_Y1, uncovered_label, &covered);
  ImPlot::SetupAxisLinks(ImAxis_Y1, &similarity_.low, &similarity_.high);
  ImPlot::SetupAxisLimitsConstraints(ImAxis_Y1, -1.1, 1.1);
  if (replay != nullptr) {
    plot_curve("query similarity to the last simulated full step", replay->cos, info.n_kv_head,
               session.selection().kv_head, colors.kept);
    drag_threshold(session, view);
  }
  vertical_line(session.selection().step, colors.cursor);
  show_step_under_mouse(session);
  select_by_click(session, view);
  ImPlot::EndPlot();
}

void Timeline::draw_measures(Session& session, SharedView& view, float height) {
  const LayerReplay* replay = session.layer();
  const TraceInfo& info = session.trace()->info;
  const int32_t head = session.selection().kv_head;
  if (!ImPlot::BeginPlot("##measures", ImVec2(-1, height), ImPlotFlags_NoTitle | ImPlotFlags_NoMouseText)) return;
  set_up_steps(session, view, 0);
  ImPlot::SetupAxis(ImAxis_X1, "step");
  ImPlot::SetupAxis(ImAxis_Y1, "share");
  ImPlot::SetupAxisFormat(ImAxis_Y1, "%.2f");
  ImPlot::SetupAxisLinks(ImAxis_Y1, &shares_.low, &shares_.high);
  ImPlot::SetupAxisLimitsConstraints(ImAxis_Y1, 0, 1.2);
  ImPlot::SetupLegend(ImPlotLocation_North, ImPlotLegendFlags_Horizontal | ImPlotLegendFlags_Outside);
  if (replay != nullptr) {
    std::vector<float> normalised(replay->recovered.size());
    for (size_t i = 0; i < normalised.size(); ++i) {
      normalised[i] = replay->recovered[i] / replay->oracle[i];  // an oracle of nothing leaves a gap
    }
    const bool light = view.light;
    plot_curve("recovered mass", replay->recovered, info.n_kv_head, head, palette(light).kept);
    plot_curve("normalised mass", normalised, info.n_kv_head, head,
               light ? ImVec4(0.1F, 0.5F, 0.3F, 1) : ImVec4(0.5F, 0.85F, 0.65F, 1));
    plot_curve("top-K overlap", replay->overlap, info.n_kv_head, head, palette(light).lost);
    plot_curve("output error, mean of the query heads", mean_over_groups(replay->output_error, info.group()),
               info.n_kv_head, head, palette(light).threshold);
  }
  vertical_line(session.selection().step, palette(view.light).cursor);
  show_step_under_mouse(session);
  select_by_click(session, view);
  ImPlot::EndPlot();
}

void Timeline::draw(Session& session, SharedView& view) {
  if (session.trace() == nullptr) return;
  const TraceInfo& info = session.trace()->info;
  if (info.n_step == 0) {
    ImGui::TextWrapped("This trace holds no decode steps: %s.", kNoStepRemedy);
    return;
  }
  if (view.fit_timeline) {
    view.steps = cells(1, info.n_step);
    shares_ = {0, 1.02};
    fit_similarity_ = true;
    view.fit_timeline = false;
  }
  draw_controls(session);
  const float room = ImGui::GetContentRegionAvail().y - 3 * ImGui::GetStyle().ItemSpacing.y;
  const float lane = ImGui::GetFontSize() * 1.6F;
  if (!ImPlot::BeginAlignedPlots("##aligned", true)) return;
  draw_layer_map(session, view, (room - lane) * 0.27F);
  draw_lane(session, view, lane);
  draw_similarity(session, view, (room - lane) * 0.31F);
  draw_measures(session, view, (room - lane) * 0.42F);
  ImPlot::EndAlignedPlots();
}

}  // namespace

std::unique_ptr<Panel> make_timeline() {
  return std::make_unique<Timeline>();
}

}  // namespace reattend::viz
