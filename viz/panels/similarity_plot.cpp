// Draws the selected head's similarity; dragging the line changes the setting.
#include "viz/panels/similarity_plot.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>
#include <implot.h>

#include "policies/shared_parameters.h"
#include "viz/panels/plot_helpers.h"
#include "viz/panels/step_axis.h"
#include "viz/render/theme.h"
#include "viz/session/ledger.h"

namespace reattend::viz {
namespace {

/// Of the selected layer; nothing where the policy has none, or the setting is none for this model: a list of values
/// may be too short for the layer then.
std::optional<double> threshold_of(const Session& session) {
  if (!session.settings().takes(kThreshold.key) || !session.setting_error().empty()) return std::nullopt;
  return session.settings().real(kThreshold.key, session.selection().layer);
}

}  // namespace

void SimilarityPlot::draw_controls() {
  ImGui::Checkbox("gate", &gate_.shown);
  ImGui::SetItemTooltip("how well similarity tells the steps that need a refresh, and the best thresholds");
}

/// Due steps of what is shown: of an older setting until the newest has answered, never of another layer.
void SimilarityPlot::look(const Session& session) {
  const LayerReplay* const replay = session.layer();
  if (replay == nullptr || replay->layer != due_layer_) {
    take_due({}), due_of_.reset();
    due_layer_ = replay == nullptr ? -1 : replay->layer;
  }
  if (replay == nullptr || !session.layer_is_current()) return;
  // Answers come layer by layer; this layer's replay is the same one in all of them.
  const bool known = due_of_ && due_of_->settings == session.settings() &&
                     due_of_->layers[static_cast<size_t>(replay->layer)].get() == replay;
  if (known) return;
  const TraceInfo& info = session.trace()->info;
  due_of_ = session.answer();
  why_none_ = why_no_similarity(session.settings(), info, replay->layer);
  take_due(due_steps(*replay, session.settings(), info));
  or_equal_ = stays_at_equal(session.settings(), info, replay->layer);
}

void SimilarityPlot::take_due(DueSteps due) {
  due_ = std::move(due);
  deciding_ = deciding_thresholds(due_);
  spread_.take(due_);
  due_head_ = -1;
}

double SimilarityPlot::snapped(double threshold) const {
  constexpr double kReach = 2;  // pixels
  const double pixel = (shown_.high - shown_.low) / ImPlot::GetPlotSize().y;
  threshold = std::clamp(threshold, kThreshold.low, kThreshold.high);
  return std::clamp(snapped_threshold(threshold, kReach * pixel, deciding_, or_equal_), kThreshold.low,
                    kThreshold.high);
}

void SimilarityPlot::drag_threshold(Session& session, SharedView& view) {
  view.threshold_line = {};
  const std::optional<double> under_trial = threshold_of(session);
  if (!under_trial) return;
  const int32_t layer = session.selection().layer;
  double threshold = *under_trial;
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
  const bool by_layer = std::holds_alternative<std::vector<double>>(session.settings().get(kThreshold.key));
  const Settings settings =
      with_threshold(session.settings(), snapped(threshold), by_layer ? std::optional(layer) : std::nullopt,
                     session.trace()->info.n_layer);
  if (settings != session.settings()) session.set_settings(settings);
}

void SimilarityPlot::fit_axis(const Session& session) {
  const LayerReplay* replay = session.layer();
  if (replay != nullptr && replay->layer != layer_) fit_ = true;
  if (!fit_ || replay == nullptr) return;
  double low = 0.9;
  for (const float c : replay->cos) {
    if (std::isfinite(c)) low = std::min(low, static_cast<double>(c));
  }
  low = std::min(low, threshold_of(session).value_or(low));
  // The words at the bottom have room below all curves.
  constexpr double kHigh = 1.02, kRoom = 0.3;
  shown_ = {std::max(-1.05, low - kRoom * (kHigh - low)), kHigh};
  layer_ = replay->layer;
  fit_ = false;
}

/// Filled: refreshed; a ring: skipped. The colour is the mass lost there. What is not picked is faint.
void SimilarityPlot::draw_due(const Session& session, const SharedView& view) {
  if (due_head_ != session.selection().kv_head) {
    due_head_ = session.selection().kv_head;
    due_of_head_.clear();
    std::ranges::copy_if(due_.steps, std::back_inserter(due_of_head_), [&](const DueStep& each) {
      return each.kv_head == due_head_ && !std::isnan(each.similarity);
    });
  }
  const ImVec2 size = ImPlot::GetPlotSize();
  const float em = ImGui::GetFontSize();
  const auto in_view = static_cast<float>(view.steps.high - view.steps.low);
  const float n_due = static_cast<float>(due_.steps.size()) / static_cast<float>(session.trace()->info.n_step);
  // Markers of neighbours stay apart as long as they can be seen at all.
  const float radius = std::clamp(size.x / std::max(1.0F, in_view * n_due) * 0.4F, em * 0.1F, em * 0.3F);
  const ColorScale scale{.low = 1e-3F, .high = 1, .logarithmic = true};
  const ColorTable& table = color_table(Colormap::viridis);
  ImDrawList& list = *ImPlot::GetPlotDrawList();
  ImPlot::PushPlotClipRect();
  auto first = std::ranges::lower_bound(due_of_head_, view.steps.low, {}, &DueStep::step);
  for (; first != due_of_head_.end() && first->step <= view.steps.high; ++first) {
    const DueStep& each = *first;
    const float alpha = spread_.leaves_out(each.similarity) ? 0.2F : 1;
    const ImU32 edge = ImGui::GetColorU32(ImGuiCol_Text, 0.8F * alpha);
    const ImVec2 at = ImPlot::PlotToPixels(each.step, static_cast<double>(each.similarity));
    const ImU32 color = ImGui::GetColorU32(color_of(table, scale.place(each.lost)), alpha);
    if (each.refreshed) {
      list.AddCircleFilled(at, radius, color);
      list.AddCircle(at, radius, edge);
    } else {
      list.AddCircle(at, radius, color, 0, std::max(1.0F, radius * 0.55F));
    }
  }
  ImPlot::PopPlotClipRect();
}

/// What the gate does, or would do, at the line.
void SimilarityPlot::draw_words(const Session& session) const {
  const ImVec2 corner = ImPlot::GetPlotPos(), size = ImPlot::GetPlotSize();
  std::string text = why_none_;
  if (text.empty()) {
    text = in_words(due_.count);
    const Settings& settings = session.settings();
    // What is due is the last answer's: the setting may be of a policy without a gate by now.
    const std::optional<double> threshold = threshold_of(session);
    if (threshold && !due_.decides && due_.count.n_due > 0) {
      const int32_t layer = session.selection().layer;
      Settings gated = settings;
      gated.let_decide(kThreshold.key);
      const std::optional<GateCount> count = session.data<GateCounts>().ask(gated, layer);
      text += fmt::format("; a gate at {:.3g} {}", *threshold, count ? in_words(*count) : "\u2026");
    }
  }
  const float em = ImGui::GetFontSize();
  const float width = size.x * 0.85F;
  const ImVec2 room = ImGui::CalcTextSize(text.c_str(), nullptr, false, width);
  const ImVec2 at(corner.x + em * 0.5F, corner.y + size.y - room.y - em * 0.3F);
  ImDrawList& list = *ImPlot::GetPlotDrawList();
  ImPlot::PushPlotClipRect();
  list.AddRectFilled(ImVec2(at.x - em * 0.2F, at.y), ImVec2(at.x + room.x + em * 0.2F, at.y + room.y),
                     ImGui::GetColorU32(ImGuiCol_WindowBg, 0.75F));
  list.AddText(nullptr, 0, at, ImGui::GetColorU32(ImGuiCol_Text), text.c_str(), nullptr, width);
  ImPlot::PopPlotClipRect();
}

/// What a gate whose threshold lies under the mouse would do.
std::string SimilarityPlot::under_mouse(const Session& session) const {
  const Settings& settings = session.settings();
  if (!ImPlot::IsPlotHovered() || !settings.takes(kThreshold.key) || deciding_.empty()) return {};
  if (!session.setting_error().empty()) return {};
  const int32_t layer = session.selection().layer;
  const double threshold = snapped(ImPlot::GetPlotMousePos().y);
  const Settings other =
      with_threshold(in_layer(settings, layer), threshold, std::nullopt, session.trace()->info.n_layer);
  const std::optional<GateCount> count = session.data<GateCounts>().ask(other, layer);
  return fmt::format("threshold {:.6g} {}", threshold, count ? in_words(*count) : "\u2026");
}

void SimilarityPlot::draw(Session& session, SharedView& view, float height) {
  look(session);
  const LayerReplay* replay = session.layer();
  const TraceInfo& info = session.trace()->info;
  const Palette& colors = palette(view.light);
  fit_axis(session);
  const float width = ImGui::GetContentRegionAvail().x;
  if (!ImPlot::BeginPlot("##similarity", ImVec2(-1, height),
                         ImPlotFlags_NoTitle | ImPlotFlags_NoLegend | ImPlotFlags_NoMouseText))
    return;
  set_up_step_axis(info, view, StepsGo::across, nullptr, ImPlotAxisFlags_NoTickLabels, width);
  // Over the plot the wheel zooms the steps; over its own axis the similarity.
  ImPlot::SetupAxis(ImAxis_Y1, "similarity", over_plot_ ? ImPlotAxisFlags_Lock : 0);
  Limits covered{0, 0};  // by the threshold's label; read at the plot's first item
  if (const std::optional<double> threshold = threshold_of(session); replay != nullptr && threshold) {
    covered = label_room(*threshold, shown_, height);
  }
  ImPlot::SetupAxisFormat(ImAxis_Y1, uncovered_label, &covered);
  ImPlot::SetupAxisLinks(ImAxis_Y1, &shown_.low, &shown_.high);
  ImPlot::SetupAxisLimitsConstraints(ImAxis_Y1, -1.1, 1.1);
  if (replay != nullptr) {
    spread_.draw(view, shown_);
    mark_picked_steps(spread_, view);
    plot_over_steps("similarity to the query of the last choice", replay->cos, info.n_kv_head,
                    session.selection().kv_head, colors.similarity);
    draw_due(session, view);
    drag_threshold(session, view);
    draw_words(session);
  }
  vertical_line(session.selection().step, colors.cursor);
  draw_step_marks(session, view, StepsGo::across);
  const bool on_bars = !dragging_ && !view.dragged_range && spread_.point_at(session);
  if (!dragging_ && !on_bars) {
    show_step_under_mouse(session, under_mouse(session));
    mark_range(info, view, StepsGo::across);
    select_step_by_click(session, view);
  }
  over_plot_ = ImPlot::IsPlotHovered();
  const ImVec2 corner = ImPlot::GetPlotPos(), size = ImPlot::GetPlotSize();
  ImPlot::EndPlot();
  if (why_none_.empty()) gate_.draw(session, view, corner, size);
}

}  // namespace reattend::viz
