// The panel of losses: what the selected step does not attend to, why not, what would cure it, and the life of the
// position that is looked at: where it was attended to, in all layers.
#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>
#include <implot.h>

#include "viz/panels/panel.h"
#include "viz/panels/panel_charts.h"
#include "viz/panels/panel_tables.h"
#include "viz/panels/plot_helpers.h"
#include "viz/panels/step_axis.h"
#include "viz/panels/waiting.h"
#include "viz/render/flow.h"
#include "viz/render/heatmap.h"
#include "viz/render/theme.h"
#include "viz/session/story.h"
#include "viz/session/token_text.h"

namespace reattend::viz {
namespace {

constexpr int32_t kNeighbours = 8;  ///< tokens shown on each side of a lost one

class WhyLost : public Panel {
 public:
  const char* name() const override { return "Why lost"; }
  Dock dock() const override { return Dock::centre_bottom; }
  const char* shows() const override {
    return "Which tokens are lost at the step, since when, why, and what would keep them.";
  }
  void draw(Session& session, SharedView& view) override;
  std::vector<PanelTable> tables(const Session& session, const SharedView&) const override {
    return {{"losses", [&session] { return lost_table(session); }},
            {"life of the position", [&session] { return life_table(session); }}};
  }
  MakeChart chart() const override { return life_chart; }

 private:
  void draw_table(Session& session, const SharedView& view, const Story& story, float height);
  void draw_row(Session& session, const SharedView& view, const Story& story, const LostPosition& lost);
  void draw_reason(Session& session, const Story& story);
  void draw_cures(Session& session, const Story& story);
  void draw_life(Session& session, SharedView& view, const Story& story, float height);
  void draw_weights(Session& session, SharedView& view, const Story& story, float height);
  void draw_lanes(Session& session, SharedView& view, const Story& story, float height);
  void take_lanes(const Session& session, const Story& story);

  HeatMap map_;
  std::shared_ptr<const std::vector<Lane>> lanes_;  ///< what map_values_ shows
  std::vector<float> map_values_;                   ///< [n_layer][T], nan where a layer is not replayed
  uint64_t version_ = 0;
};

/// The token in the middle of the cell, what stands before and after it at its sides, cut at the cell's edges.
void draw_in_context(const Excerpt& text, ImVec4 behind) {
  const ImVec2 corner = ImGui::GetCursorScreenPos();
  const float room = ImGui::GetContentRegionAvail().x, height = ImGui::GetTextLineHeight();
  const float before = ImGui::CalcTextSize(text.before.c_str()).x, own = ImGui::CalcTextSize(text.own.c_str()).x;
  const float x = corner.x + std::max(0.0F, (room - own) / 2);
  ImDrawList& list = *ImGui::GetWindowDrawList();
  const ImU32 ink = ImGui::GetColorU32(ImGuiCol_Text), dim = ImGui::GetColorU32(ImGuiCol_TextDisabled);
  ImGui::PushClipRect(corner, ImVec2(corner.x + room, corner.y + height), true);
  list.AddRectFilled(ImVec2(x, corner.y), ImVec2(x + own, corner.y + height), ImGui::ColorConvertFloat4ToU32(behind));
  list.AddText(ImVec2(x - before, corner.y), dim, text.before.c_str());
  list.AddText(ImVec2(x, corner.y), ink, text.own.c_str());
  list.AddText(ImVec2(x + own, corner.y), dim, text.after.c_str());
  ImGui::PopClipRect();
  ImGui::Dummy(ImVec2(room, height));
}

void WhyLost::draw_row(Session& session, const SharedView& view, const Story& story, const LostPosition& lost) {
  const LostRow& row = *story.row;
  const Excerpt text = excerpt(session.trace()->token_texts, lost.position, kNeighbours);
  ImGui::TableNextRow();
  ImGui::TableNextColumn();
  ImGui::PushID(lost.position);
  if (ImGui::Selectable(fmt::format("{:.3f}", 100 * lost.weight).c_str(), lost.position == story.position,
                        ImGuiSelectableFlags_SpanAllColumns)) {
    session.select_position(lost.position);
  }
  ImGui::SetItemTooltip("position %d, weight %.9g, %s\n%s\u2009\u25b8%s\u25c2\u2009%s", lost.position,
                        static_cast<double>(lost.weight), cause_in_words(row, lost).c_str(), text.before.c_str(),
                        text.own.c_str(), text.after.c_str());
  ImGui::PopID();
  ImGui::TableNextColumn();
  ImGui::Text("%d", lost.position);
  ImGui::TableNextColumn();
  ImVec4 behind = palette(view.light).lost;
  behind.w = 0.4F;
  draw_in_context(text, behind);
  ImGui::TableNextColumn();
  ImGui::TextUnformatted(kLostKinds[static_cast<size_t>(lost.kind)].data());
  ImGui::TableNextColumn();
  ImGui::TextUnformatted(
      fmt::format("{} \u2192 {}", lost.rank < 0 ? "\u2013" : std::to_string(lost.rank + 1), lost.rank_now + 1).c_str());
  if (ImGui::TableNextColumn()) ImGui::TextUnformatted(cause_in_words(row, lost).c_str());
}

void WhyLost::draw_table(Session& session, const SharedView& view, const Story& story, float height) {
  constexpr ImGuiTableFlags kFlags =
      ImGuiTableFlags_RowBg | ImGuiTableFlags_ScrollY | ImGuiTableFlags_BordersInnerV | ImGuiTableFlags_SizingFixedFit;
  const float em = ImGui::GetFontSize();
  // A narrow pane has room for the text or for a reason, which the words below the table give too.
  const bool wide = ImGui::GetContentRegionAvail().x > 38 * em;
  if (!ImGui::BeginTable("lost", 6, kFlags, ImVec2(0, height))) return;
  const auto column = [em](const char* title, float width, ImGuiTableColumnFlags flags = 0) {
    ImGui::TableSetupColumn(title, ImGuiTableColumnFlags_WidthFixed | flags, width * em);
  };
  ImGui::TableSetupScrollFreeze(0, 1);
  column("%", 3.5F), column("position", 3.8F);
  ImGui::TableSetupColumn("text", ImGuiTableColumnFlags_WidthStretch);
  column("kind", 3.5F), column("rank", 6.5F), column("why", 9.5F, wide ? 0 : ImGuiTableColumnFlags_Disabled);
  ImGui::TableHeadersRow();
  ImGuiListClipper clipper;
  clipper.Begin(static_cast<int>(story.row->positions.size()));
  while (clipper.Step()) {
    for (int i = clipper.DisplayStart; i < clipper.DisplayEnd; ++i) {
      draw_row(session, view, story, story.row->positions[static_cast<size_t>(i)]);
    }
  }
  ImGui::EndTable();
}

/// What is predicted to change, or what settings are ranked by where no KL is.
std::string price_in_words(const Price& price, int digits, const char* unit) {
  const bool has_kl = !std::isnan(price.kl);
  return fmt::format("{} {:+.{}g}, {:+.{}g} {}", has_kl ? "KL" : "estimate", has_kl ? price.kl : price.estimate, digits,
                     price.cost, digits, unit);
}

void WhyLost::draw_cures(Session& session, const Story& story) {
  if (!story.cured) return ImGui::TextDisabled("looking for the smallest change that keeps it \u2026");
  if (story.cures.empty()) return ImGui::TextDisabled("No S, K or threshold of this policy keeps it at this step.");
  const TuneResult& tuned = *session.tuning();
  const char* const unit = tuned.calibrated ? "ms" : "MB";
  const bool current = story.settings == session.settings();
  ImGui::AlignTextToFramePadding();
  ImGui::TextUnformatted(fmt::format("Fix it in layer {}:", story.at.layer).c_str());
  ImGui::BeginDisabled(!current);
  for (const PricedCure& each : story.cures) {
    std::string label = each.cure.change;
    if (each.price) label += "  " + price_in_words(*each.price, 2, unit);
    flow(button_width(label.c_str()));
    if (ImGui::Button(fmt::format("{}###{}", label, each.cure.key).c_str())) session.set_settings(each.cure.settings);
    ImGui::SetItemTooltip(
        "sets %s in layer %d, the smallest change of it under which this step attends to the position;\n"
        "%s",
        each.cure.change.c_str(), story.at.layer,
        each.price ? (price_in_words(*each.price, 6, unit) + " per token").c_str()
                   : "what it costs is known once all layers are replayed with their output errors");
  }
  ImGui::EndDisabled();
}

void WhyLost::draw_reason(Session& session, const Story& story) {
  ImGui::PushTextWrapPos(0);
  ImGui::TextUnformatted(story_in_words(story, *session.trace()).c_str());
  ImGui::PopTextWrapPos();
  if (story.lost() != nullptr) draw_cures(session, story);
}

void WhyLost::take_lanes(const Session& session, const Story& story) {
  if (lanes_ == story.lanes) return;
  lanes_ = story.lanes;
  ++version_;
  const TraceInfo& info = session.trace()->info;
  map_values_.assign(static_cast<size_t>(info.n_layer) * static_cast<size_t>(info.n_step),
                     std::numeric_limits<float>::quiet_NaN());
  for (const Lane& lane : lanes_ ? *lanes_ : std::vector<Lane>{}) {
    std::ranges::copy(lane.weights, map_values_.begin() + int64_t{lane.layer} * info.n_step);
  }
}

/// Weight over steps in the selected layer, in the colours of attended and lost.
void WhyLost::draw_weights(Session& session, SharedView& view, const Story& story, float height) {
  const int32_t n_step = session.trace()->info.n_step;
  const float* const weights = map_values_.data() + int64_t{story.at.layer} * n_step;
  float high = 0;
  for (int32_t i = 0; i < n_step; ++i) high = std::max(high, std::isnan(weights[i]) ? 0 : std::abs(weights[i]));
  if (!ImPlot::BeginPlot("##weights", ImVec2(-1, height), ImPlotFlags_CanvasOnly)) return;
  set_up_step_axis(session.trace()->info, view, StepsGo::across, nullptr,
                   ImPlotAxisFlags_NoTickLabels | ImPlotAxisFlags_NoTickMarks, ImGui::GetContentRegionAvail().x);
  ImPlot::SetupAxis(ImAxis_Y1, nullptr, ImPlotAxisFlags_Lock | ImPlotAxisFlags_NoGridLines);
  const double ends[] = {0, high > 0 ? high : 1};  // the plot is too low for more ticks
  ImPlot::SetupAxisFormat(ImAxis_Y1, "%.2g");
  ImPlot::SetupAxisTicks(ImAxis_Y1, ends, 2);
  ImPlot::SetupAxisLimits(ImAxis_Y1, 0, 1.1 * ends[1], ImPlotCond_Always);
  const Palette& colors = palette(view.light);
  const ImU32 kept = ImGui::ColorConvertFloat4ToU32(colors.kept), lost = ImGui::ColorConvertFloat4ToU32(colors.lost);
  ImDrawList& list = *ImPlot::GetPlotDrawList();
  ImPlot::PushPlotClipRect();
  const int32_t first = std::clamp(cell_at(view.steps.low), 1, n_step),
                last = std::clamp(cell_at(view.steps.high), 1, n_step);
  for (int32_t t = first; t <= last; ++t) {
    const float weight = weights[t - 1];
    if (std::isnan(weight)) continue;
    const ImVec2 low = ImPlot::PlotToPixels(t - 0.5, 0), top = ImPlot::PlotToPixels(t + 0.5, std::abs(weight));
    list.AddRectFilled(ImVec2(low.x, top.y), ImVec2(std::max(top.x, low.x + 1), low.y),
                       std::signbit(weight) ? lost : kept);
  }
  ImPlot::PopPlotClipRect();
  vertical_line(session.selection().step, colors.cursor);
  draw_step_marks(session, view, StepsGo::across);
  mark_range(session.trace()->info, view, StepsGo::across);
  if (ImPlot::IsPlotHovered()) {
    const int32_t t = cell_at(ImPlot::GetPlotMousePos().x);
    if (t >= 1 && t <= n_step && !std::isnan(weights[t - 1])) {
      ImGui::SetTooltip("step %d: weight %.9g, %s", t, static_cast<double>(std::abs(weights[t - 1])),
                        std::signbit(weights[t - 1]) ? "not attended to" : "attended to");
    }
  }
  select_step_by_click(session, view);
  ImPlot::EndPlot();
}

void WhyLost::draw_lanes(Session& session, SharedView& view, const Story& story, float height) {
  const TraceInfo& info = session.trace()->info;
  if (!ImPlot::BeginPlot("##lanes", ImVec2(-1, height), ImPlotFlags_CanvasOnly)) return;
  const bool titled = height > 8 * ImGui::GetFontSize();
  set_up_step_axis(info, view, StepsGo::across, titled ? "step" : nullptr, ImPlotAxisFlags_NoGridLines,
                   ImGui::GetContentRegionAvail().x);
  ImPlot::SetupAxis(ImAxis_Y1, "layer", ImPlotAxisFlags_Invert | ImPlotAxisFlags_Lock | ImPlotAxisFlags_NoGridLines);
  ImPlot::SetupAxisLimits(ImAxis_Y1, -0.5, info.n_layer - 0.5, ImPlotCond_Always);
  set_up_whole_ticks(ImAxis_Y1, cells(0, info.n_layer - 1), height);
  const ImVec2 corner = ImPlot::GetPlotPos(), size = ImPlot::GetPlotSize();
  const ImPlotRect limits = ImPlot::GetPlotLimits();
  const HeatMatrix matrix = {map_values_.data(), info.n_layer, info.n_step, {}, version_};
  const HeatView part{limits.X.Min - 0.5, limits.X.Max - 0.5, 0.0, static_cast<double>(info.n_layer)};
  HeatColors colors;
  colors.scale = {.low = 1e-5F, .high = 1, .logarithmic = true};
  colors.positive = Colormap::blues, colors.negative = Colormap::oranges;
  ImPlot::PushPlotClipRect();
  hatch(*ImPlot::GetPlotDrawList(), corner, size);  // what is unknown lets it through
  map_.draw(*ImPlot::GetPlotDrawList(), ImVec2(std::floor(corner.x), std::floor(corner.y)),
            static_cast<int32_t>(size.x), static_cast<int32_t>(size.y), matrix, part, colors);
  const ImVec2 low = ImPlot::PlotToPixels(limits.X.Min, story.at.layer - 0.5);
  const ImVec2 high = ImPlot::PlotToPixels(limits.X.Max, story.at.layer + 0.5);
  ImPlot::GetPlotDrawList()->AddRect(low, high, ImGui::ColorConvertFloat4ToU32(palette(false).cursor));
  ImPlot::PopPlotClipRect();
  vertical_line(session.selection().step, palette(false).cursor);
  draw_step_marks(session, view, StepsGo::across);
  mark_range(info, view, StepsGo::across);
  if (ImPlot::IsPlotHovered()) {
    const ImPlotPoint mouse = ImPlot::GetPlotMousePos();
    const int32_t layer = cell_at(mouse.y), t = cell_at(mouse.x);
    if (layer >= 0 && layer < info.n_layer && t >= 1 && t <= info.n_step) {
      const float weight =
          map_values_[static_cast<size_t>(layer) * static_cast<size_t>(info.n_step) + static_cast<size_t>(t - 1)];
      const std::string known = std::isnan(weight)
                                    ? "not known: not replayed yet, or no such token then"
                                    : fmt::format("weight {:.9g}, {}", std::abs(weight),
                                                  std::signbit(weight) ? "not attended to" : "attended to");
      ImGui::SetTooltip("layer %d, step %d: %s", layer, t, known.c_str());
      if (plot_clicked()) session.select_layer(layer);
    }
  }
  select_step_by_click(session, view);
  ImPlot::EndPlot();
}

void WhyLost::draw_life(Session& session, SharedView& view, const Story& story, float height) {
  take_lanes(session, story);
  if (!lanes_) return ImGui::TextDisabled("the position's life: once its layer is replayed \u2026");
  const float room = height - ImGui::GetStyle().ItemSpacing.y;
  if (!ImPlot::BeginAlignedPlots("##life", true)) return;
  draw_weights(session, view, story, 0.35F * room);
  draw_lanes(session, view, story, 0.65F * room);
  ImPlot::EndAlignedPlots();
}

void WhyLost::draw(Session& session, SharedView& view) {
  if (lacks_steps(session)) return;
  const Story* const story = session.data<Stories>().ask();
  if (story == nullptr || !story->row) return ImGui::TextDisabled("once the selected layer is replayed \u2026");
  const Selection& at = session.selection();
  const bool current = story->settings == session.settings() && story->at == RowPlace{at.layer, at.kv_head, at.step};
  ImGui::BeginDisabled(!current);  // of an older setting or selection
  ImGui::PushTextWrapPos(0);
  ImGui::TextUnformatted(fmt::format("Layer {}, KV head {}, step {}. {}", story->at.layer, story->at.kv_head,
                                     story->at.step, summary_in_words(*story->row))
                             .c_str());
  ImGui::PopTextWrapPos();
  const float room = ImGui::GetContentRegionAvail().y;
  if (!story->row->positions.empty()) draw_table(session, view, *story, 0.33F * room);
  if (story->position >= 0) {
    draw_reason(session, *story);
    draw_life(session, view, *story, std::max(10 * ImGui::GetFontSize(), ImGui::GetContentRegionAvail().y));
  }
  ImGui::EndDisabled();
}

}  // namespace

std::unique_ptr<Panel> make_why_lost() {
  return std::make_unique<WhyLost>();
}

}  // namespace reattend::viz
