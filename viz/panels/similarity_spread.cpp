// Counts when the steps or the axis have changed, and draws what was counted in every frame.
#include "viz/panels/similarity_spread.h"

#include <algorithm>
#include <cmath>

#include <implot.h>

#include "viz/panels/plot_helpers.h"
#include "viz/render/theme.h"

namespace reattend::viz {
namespace {

constexpr float kLongest = 0.12F;  ///< of the plot's width

}  // namespace

void SimilaritySpread::take(const DueSteps& due) {
  due_.clear();
  std::ranges::copy_if(due.steps, std::back_inserter(due_),
                       [](const DueStep& each) { return !std::isnan(each.similarity); });
  height_ = 0;
  find_steps();
  if (steps_.empty()) picked_.reset();
}

void SimilaritySpread::find_steps() {
  steps_.clear();
  if (!picked_) return;
  for (const DueStep& each : due_) {
    if (!leaves_out(each.similarity) && (steps_.empty() || steps_.back() != each.step)) steps_.push_back(each.step);
  }
}

Limits SimilaritySpread::limits_of(size_t bar) const {
  const double unit = (shown_.high - shown_.low) * thick_ / height_;
  return {shown_.high - unit * static_cast<double>(bar + 1), shown_.high - unit * static_cast<double>(bar)};
}

void SimilaritySpread::count(Limits shown, float height) {
  const float thick = std::max(2.0F, ImGui::GetFontSize() * 0.25F);
  if (shown == shown_ && height == height_ && thick == thick_) return;
  shown_ = shown, height_ = height, thick_ = thick, most_ = 1;
  bars_.assign(static_cast<size_t>(std::max(0.0F, height / thick)), {});
  for (const DueStep& each : due_) {
    const double from_top = (shown.high - static_cast<double>(each.similarity)) / (shown.high - shown.low) * height;
    // A similarity on an edge belongs to the bar above, as limits_of() has it.
    const auto i = static_cast<int64_t>(std::ceil(from_top / thick)) - 1;
    if (i < 0 || i >= static_cast<int64_t>(bars_.size())) continue;
    Bar& bar = bars_[static_cast<size_t>(i)];
    ++(each.refreshed ? bar.n_refreshed : bar.n_stayed);
    most_ = std::max(most_, bar.n());
  }
}

void SimilaritySpread::draw(const SharedView& view, Limits shown) {
  if (due_.empty()) return;
  const ImVec2 corner = ImPlot::GetPlotPos(), size = ImPlot::GetPlotSize();
  count(shown, size.y);
  const Palette& colors = palette(view.light);
  const float longest = size.x * kLongest, right = corner.x + size.x;
  const auto faded = [](ImVec4 color) { return color.w = 0.7F, ImGui::ColorConvertFloat4ToU32(color); };
  ImDrawList& list = *ImPlot::GetPlotDrawList();
  ImPlot::PushPlotClipRect();
  for (size_t i = 0; i < bars_.size(); ++i) {
    const Bar& bar = bars_[i];
    if (bar.n() == 0) continue;
    const float top = corner.y + static_cast<float>(i) * thick_, bottom = top + thick_ - 1;
    const float refreshed = longest * static_cast<float>(bar.n_refreshed) / static_cast<float>(most_);
    const float stayed = longest * static_cast<float>(bar.n_stayed) / static_cast<float>(most_);
    list.AddRectFilled(ImVec2(right - refreshed, top), ImVec2(right, bottom), faded(colors.full));
    list.AddRectFilled(ImVec2(right - refreshed - stayed, top), ImVec2(right - refreshed, bottom), faded(colors.kept));
  }
  if (picked_) {
    const float top = ImPlot::PlotToPixels(0, picked_->high).y, bottom = ImPlot::PlotToPixels(0, picked_->low).y;
    list.AddRect(ImVec2(right - longest, top), ImVec2(right, std::max(bottom, top + 2)),
                 ImGui::ColorConvertFloat4ToU32(colors.threshold), 0, 2);
  }
  ImPlot::PopPlotClipRect();
}

void SimilaritySpread::pick(Session& session, size_t bar) {
  const Limits wanted = limits_of(bar);
  if (bars_[bar].n() == 0) {
    picked_.reset(), find_steps();
    return;
  }
  if (picked_ != wanted) picked_ = wanted, find_steps();
  if (steps_.empty()) return picked_.reset();
  const auto next = std::ranges::upper_bound(steps_, session.selection().step);
  session.select_step(next != steps_.end() ? *next : steps_.front());
}

bool SimilaritySpread::point_at(Session& session) {
  if (due_.empty() || bars_.empty() || !ImPlot::IsPlotHovered()) return false;
  const ImVec2 corner = ImPlot::GetPlotPos(), size = ImPlot::GetPlotSize(), mouse = ImGui::GetMousePos();
  if (mouse.x < corner.x + size.x * (1 - kLongest)) return false;
  const auto i = static_cast<size_t>(std::max(0.0F, (mouse.y - corner.y) / thick_));
  if (i >= bars_.size()) return false;
  const Limits of = limits_of(i);
  const Bar& bar = bars_[i];
  if (bar.n() > 0) {
    ImGui::SetTooltip(
        "similarity %.4f to %.4f: %d due steps of KV heads, %d of them refreshed\nclick: mark these steps, and go to "
        "the next of them",
        of.low, of.high, bar.n(), bar.n_refreshed);
  } else {
    ImGui::SetTooltip("similarity %.4f to %.4f: no due step%s", of.low, of.high,
                      picked_ ? "\nclick: mark no steps" : "");
  }
  if (plot_clicked()) pick(session, i);
  return true;
}

void mark_picked_steps(const SimilaritySpread& spread, const SharedView& view) {
  if (spread.steps().empty()) return;
  ImVec4 color = palette(view.light).threshold;
  color.w = 0.3F;
  const ImU32 ink = ImGui::ColorConvertFloat4ToU32(color);
  const ImVec2 corner = ImPlot::GetPlotPos(), size = ImPlot::GetPlotSize();
  ImPlot::PushPlotClipRect();
  for (auto step = std::ranges::lower_bound(spread.steps(), static_cast<int32_t>(std::floor(view.steps.low)));
       step != spread.steps().end() && *step <= view.steps.high; ++step) {
    const float low = ImPlot::PlotToPixels(*step - 0.5, 0).x, high = ImPlot::PlotToPixels(*step + 0.5, 0).x;
    ImPlot::GetPlotDrawList()->AddRectFilled(ImVec2(low, corner.y), ImVec2(std::max(high, low + 1), corner.y + size.y),
                                             ink);
  }
  ImPlot::PopPlotClipRect();
}

}  // namespace reattend::viz
