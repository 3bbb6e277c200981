// The timeline panel, steps from left to right: every layer's decisions or losses, the selected layer's similarity with
// its threshold, its measures.
#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>
#include <implot.h>

#include "viz/panels/layer_map.h"
#include "viz/panels/minimap.h"
#include "viz/panels/note_marks.h"
#include "viz/panels/panel.h"
#include "viz/panels/panel_charts.h"
#include "viz/panels/panel_tables.h"
#include "viz/panels/plot_helpers.h"
#include "viz/panels/range_bar.h"
#include "viz/panels/role_lane.h"
#include "viz/panels/similarity_plot.h"
#include "viz/panels/step_axis.h"
#include "viz/panels/waiting.h"
#include "viz/render/elided_text.h"
#include "viz/render/flow.h"
#include "viz/render/theme.h"

namespace reattend::viz {
namespace {

class Timeline : public Panel {
 public:
  const char* name() const override { return "Timeline"; }
  Dock dock() const override { return Dock::centre_top; }
  const char* shows() const override {
    return "Steps from left to right: what each layer loses, when it chooses anew, and how alike its queries are.";
  }
  std::vector<PanelTable> tables(const Session& session, const SharedView&) const override {
    return {{"steps", [&session] { return steps_table(session); }}};
  }
  MakeChart chart() const override { return steps_chart; }
  void draw(Session& session, SharedView& view) override;

 private:
  void draw_controls(Session& session, SharedView& view);
  void draw_lane(Session& session, SharedView& view, float height);
  void draw_measures(Session& session, SharedView& view, float height);

  /// What the measures' curves are drawn from beyond the replay's own arrays; made anew for another replay.
  struct Curves {
    std::shared_ptr<const AsyncAnswer> of;  ///< holds the replay
    const LayerReplay* replay = nullptr;
    std::vector<float> normalised, output_error;  ///< [T][n_kv_head]
    std::vector<float> steps;                     ///< 1 .. T
  };
  void make_curves(const Session& session);

  Curves curves_;
  Minimap minimap_;
  RangeBar range_;
  LayerMap layers_;
  SimilarityPlot similarity_;
  Limits shares_{0, 1.02};
  bool over_measures_ = false;
};

void Timeline::draw_controls(Session& session, SharedView& view) {
  layers_.draw_choice(session);
  Player& player = view.player;
  flow(button_width("stop"));
  if (ImGui::Button(player.playing() ? "stop" : "play")) toggle_play(session, view);
  ImGui::SetItemTooltip("goes from step to step (Space)");
  flow(ImGui::GetFontSize() * 8);
  ImGui::SetNextItemWidth(ImGui::GetFontSize() * 8);
  auto speed = static_cast<float>(player.speed());
  if (ImGui::SliderFloat("##speed", &speed, static_cast<float>(Player::kSlowest), static_cast<float>(Player::kFastest),
                         "%.0f steps/s", ImGuiSliderFlags_Logarithmic | ImGuiSliderFlags_AlwaysClamp)) {
    player.set_speed(speed);
  }
  ImGui::SetItemTooltip("how fast");
  flow(checkbox_width("gate"));
  similarity_.draw_controls();
  const Selection& at = session.selection();
  const std::string text =
      fmt::format("layer {}, KV head {}; {}", at.layer, at.kv_head, describe_step(session, at.step));
  ImGui::SameLine();
  // One line, whatever the width: the plots below need the height.
  elided_text(text, std::max(1.0F, ImGui::GetContentRegionAvail().x), ImGui::GetStyleColorVec4(ImGuiCol_Text));
}

void Timeline::draw_lane(Session& session, SharedView& view, float height) {
  const TraceInfo& info = session.trace()->info;
  const float width = ImGui::GetContentRegionAvail().x;
  if (!ImPlot::BeginPlot("##lane", ImVec2(-1, height), ImPlotFlags_CanvasOnly)) return;
  set_up_step_axis(info, view, StepsGo::across, nullptr, ImPlotAxisFlags_NoDecorations, width);
  // The same labels as the other plots have would not fit: the axis keeps their width, so that all steps align.
  ImPlot::SetupAxis(ImAxis_Y1, nullptr, ImPlotAxisFlags_Invert | ImPlotAxisFlags_Lock | ImPlotAxisFlags_NoDecorations);
  ImPlot::SetupAxisLimits(ImAxis_Y1, 0, 1, ImPlotCond_Always);
  if (session.layer() != nullptr) {
    draw_role_lane(session, view);
    mark_picked_steps(similarity_.spread(), view);
    vertical_line(session.selection().step, palette(view.light).cursor);
  }
  draw_step_marks(session, view, StepsGo::across);
  show_step_under_mouse(session, reason_under_mouse(session));
  mark_notes_over_steps(session, view);
  mark_range(info, view, StepsGo::across);
  select_step_by_click(session, view);
  ImPlot::EndPlot();
}

/// Between the values that a tenth of all layers and KV heads do not reach, and that a tenth exceed.
void plot_band(const char* label, const std::vector<float>& steps, const StepBands::Band& band, ImVec4 color) {
  if (std::ranges::all_of(band.low, [](float x) { return std::isnan(x); })) return;  // the first tells, as a rule
  ImPlotSpec spec;
  spec.LineColor = spec.FillColor = color;
  spec.FillAlpha = 0.25F;
  ImPlot::PlotShaded(label, steps.data(), band.low.data(), band.high.data(),
                     static_cast<int>(std::min(steps.size(), band.low.size())), spec);
}

void Timeline::make_curves(const Session& session) {
  const LayerReplay* const replay = session.layer();
  const TraceInfo& info = session.trace()->info;
  if (curves_.steps.size() != static_cast<size_t>(info.n_step)) {
    curves_.steps.resize(static_cast<size_t>(info.n_step));
    std::iota(curves_.steps.begin(), curves_.steps.end(), 1.0F);
  }
  // A replay that nobody holds any more may lie where the next one does.
  const std::shared_ptr<const AsyncAnswer>& answer = session.answer();
  if (replay == nullptr || (curves_.of && curves_.replay == replay)) return;
  curves_.of = answer && answer->layers[static_cast<size_t>(replay->layer)].get() == replay ? answer : nullptr;
  curves_.replay = replay;
  curves_.normalised.resize(replay->recovered.size());
  for (size_t i = 0; i < replay->recovered.size(); ++i) {
    curves_.normalised[i] = replay->recovered[i] / replay->oracle[i];  // an oracle of nothing leaves a gap
  }
  curves_.output_error = mean_over_groups(replay->output_error, info.group());
}

void Timeline::draw_measures(Session& session, SharedView& view, float height) {
  make_curves(session);
  const LayerReplay* replay = session.layer();
  const TraceInfo& info = session.trace()->info;
  const int32_t head = session.selection().kv_head;
  const float width = ImGui::GetContentRegionAvail().x;
  // A low plot keeps its curves rather than their names.
  const bool named = height > ImGui::GetFontSize() * 7;
  const ImPlotFlags flags = ImPlotFlags_NoTitle | ImPlotFlags_NoMouseText | (named ? 0 : ImPlotFlags_NoLegend);
  if (!ImPlot::BeginPlot("##measures", ImVec2(-1, height), flags)) return;
  set_up_step_axis(info, view, StepsGo::across, "step", 0, width);
  // Over the plot the wheel zooms the steps; over its own axis the shares.
  ImPlot::SetupAxis(ImAxis_Y1, "share", over_measures_ ? ImPlotAxisFlags_Lock : 0);
  ImPlot::SetupAxisFormat(ImAxis_Y1, "%.2f");
  ImPlot::SetupAxisLinks(ImAxis_Y1, &shares_.low, &shares_.high);
  ImPlot::SetupAxisLimitsConstraints(ImAxis_Y1, 0, 1.2);
  ImPlot::SetupLegend(ImPlotLocation_North, ImPlotLegendFlags_Horizontal | ImPlotLegendFlags_Outside);
  if (const std::shared_ptr<const StepBands> bands = session.data<StepBandsData>().ask({})) {
    plot_band("recovered mass", curves_.steps, bands->recovered, palette(view.light).kept);
    plot_band("top-K overlap", curves_.steps, bands->overlap, palette(view.light).lost);
  }
  if (replay != nullptr) {
    const Palette& colors = palette(view.light);
    plot_over_steps("recovered mass", replay->recovered, info.n_kv_head, head, colors.recovered);
    plot_over_steps("normalised mass", curves_.normalised, info.n_kv_head, head, colors.normalised);
    plot_over_steps("top-K overlap", replay->overlap, info.n_kv_head, head, colors.overlap);
    plot_over_steps("output error, mean of the query heads", curves_.output_error, info.n_kv_head, head,
                    colors.output_error);
  }
  mark_picked_steps(similarity_.spread(), view);
  vertical_line(session.selection().step, palette(view.light).cursor);
  draw_step_marks(session, view, StepsGo::across);
  show_step_under_mouse(session);
  mark_range(info, view, StepsGo::across);
  select_step_by_click(session, view);
  over_measures_ = ImPlot::IsPlotHovered();
  ImPlot::EndPlot();
}

void Timeline::draw(Session& session, SharedView& view) {
  if (lacks_steps(session)) return;
  if (view.fit_timeline) {
    shares_ = {0, 1.02};
    similarity_.fit();
    view.fit_timeline = false;
  }
  draw_controls(session, view);
  range_.draw(session, view);
  minimap_.draw(session, view, ImGui::GetFontSize() * 1.6F);
  const float room = ImGui::GetContentRegionAvail().y - 3 * ImGui::GetStyle().ItemSpacing.y;
  const float lane = ImGui::GetFontSize() * 1.6F;
  if (!ImPlot::BeginAlignedPlots("##aligned", true)) return;
  layers_.draw(session, view, (room - lane) * 0.27F);
  draw_lane(session, view, lane);
  similarity_.draw(session, view, (room - lane) * 0.31F);
  draw_measures(session, view, (room - lane) * 0.42F);
  ImPlot::EndAlignedPlots();
}

}  // namespace

std::unique_ptr<Panel> make_timeline() {
  return std::make_unique<Timeline>();
}

}  // namespace reattend::viz
