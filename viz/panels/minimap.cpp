// A strip of its own rather than a plot: its axis is the whole trace, whatever the others show.
#include "viz/panels/minimap.h"

#include <algorithm>
#include <cmath>

#include "viz/panels/plot_helpers.h"
#include "viz/panels/step_axis.h"
#include "viz/render/theme.h"
#include "viz/session/baseline.h"
#include "viz/session/differences.h"

namespace reattend::viz {
namespace {

/// As narrow as plots let the axis get.
constexpr double kLeastWindow = 4;
/// Of the strip: what loses nothing is known all the same.
constexpr float kLeastHeight = 0.03F;

}  // namespace

Limits drag_window(Limits window, WindowGrip grip, double delta, Limits all, double least) {
  least = std::min(least, all.high - all.low);
  switch (grip) {
    case WindowGrip::none:
      break;
    case WindowGrip::low:
      window.low = std::clamp(window.low + delta, all.low, window.high - least);
      break;
    case WindowGrip::high:
      window.high = std::clamp(window.high + delta, window.low + least, all.high);
      break;
    case WindowGrip::whole:
      delta = std::clamp(delta, all.low - window.low, all.high - window.high);
      window.low += delta, window.high += delta;
      break;
  }
  return window;
}

void Minimap::Strip::draw(const SharedView& view, const std::shared_ptr<const StepBands>& bands, int64_t n_step,
                          ImVec2 corner, ImVec2 size) {
  ImDrawList& list = *ImGui::GetWindowDrawList();
  if (!bands) return hatch(list, corner, size);
  const auto n_known = static_cast<int64_t>(bands->most_lost.size()), width = static_cast<int64_t>(size.x);
  if (shown != bands || static_cast<int64_t>(columns.size()) != width) {
    shown = bands;
    columns.assign(static_cast<size_t>(width), std::nanf(""));
    for (int64_t x = 0; x < width; ++x) {
      const int64_t first = x * n_step / width, end = std::max(first + 1, (x + 1) * n_step / width);
      for (int64_t t = first; t < std::min(end, n_known); ++t) {
        float& column = columns[static_cast<size_t>(x)];
        column = std::fmax(column, bands->most_lost[static_cast<size_t>(t)]);
      }
    }
  }
  const ImU32 color = ImGui::ColorConvertFloat4ToU32(palette(view.light).lost);
  for (int64_t x = 0; x < width; ++x) {
    const float lost = columns[static_cast<size_t>(x)];
    if (std::isnan(lost)) continue;
    const float left = corner.x + static_cast<float>(x), bottom = corner.y + size.y;
    list.AddRectFilled(ImVec2(left, bottom - size.y * std::max(lost, kLeastHeight)), ImVec2(left + 1, bottom), color);
  }
}

void Minimap::drag(const TraceInfo& info, SharedView& view, ImVec2 corner, ImVec2 size) {
  const Limits all = all_steps(info);
  const auto pixel_of = [&](double step) {
    return corner.x + static_cast<float>((step - all.low) / (all.high - all.low)) * size.x;
  };
  const float mouse = ImGui::GetIO().MousePos.x, reach = ImGui::GetFontSize() * 0.4F;
  const double at = all.low + (mouse - corner.x) / size.x * (all.high - all.low);
  const bool on_low = std::abs(mouse - pixel_of(view.steps.low)) < reach;
  const bool on_high = std::abs(mouse - pixel_of(view.steps.high)) < reach;
  if (ImGui::IsItemHovered() && ImGui::IsMouseDoubleClicked(ImGuiMouseButton_Left)) view.steps = all;
  if (ImGui::IsItemActivated()) {
    grip_ = on_low ? WindowGrip::low : on_high ? WindowGrip::high : WindowGrip::whole;
    // A click beside the window brings its middle there.
    if (!on_low && !on_high && (at < view.steps.low || at > view.steps.high)) {
      const double delta = at - (view.steps.low + view.steps.high) / 2;
      view.steps = drag_window(view.steps, WindowGrip::whole, delta, all, kLeastWindow);
    }
    begun_ = view.steps, begun_at_ = at;
  }
  if (ImGui::IsItemActive() && ImGui::IsMouseDragging(ImGuiMouseButton_Left, 0)) {
    view.steps = drag_window(begun_, grip_, at - begun_at_, all, kLeastWindow);
  }
  if (ImGui::IsItemDeactivated()) grip_ = WindowGrip::none;
  const bool edge = grip_ == WindowGrip::none ? ImGui::IsItemHovered() && (on_low || on_high)
                                              : grip_ == WindowGrip::low || grip_ == WindowGrip::high;
  if (edge) ImGui::SetMouseCursor(ImGuiMouseCursor_ResizeEW);

  ImDrawList& list = *ImGui::GetWindowDrawList();
  const ImVec4 ink = ImGui::GetStyleColorVec4(ImGuiCol_Text);
  const ImU32 veil = ImGui::GetColorU32(ImGuiCol_WindowBg, 0.65F), frame = ImGui::ColorConvertFloat4ToU32(ink);
  const float low = pixel_of(view.steps.low), high = pixel_of(view.steps.high), bottom = corner.y + size.y;
  list.AddRectFilled(corner, ImVec2(low, bottom), veil);
  list.AddRectFilled(ImVec2(high, corner.y), ImVec2(corner.x + size.x, bottom), veil);
  list.AddRect(ImVec2(low, corner.y), ImVec2(high, bottom), frame);
  if (view.range) {
    ImVec4 color = palette(view.light).threshold;
    color.w = 0.35F;
    list.AddRectFilled(ImVec2(pixel_of(view.range->first - 0.5), corner.y),
                       ImVec2(pixel_of(view.range->last + 0.5), bottom), ImGui::ColorConvertFloat4ToU32(color));
  }
}

void Minimap::draw(Session& session, SharedView& view, float height) {
  const TraceInfo& info = session.trace()->info;
  const ImVec2 corner = ImGui::GetCursorScreenPos(), size(ImGui::GetContentRegionAvail().x, height);
  if (size.x < 1) return;
  ImGui::InvisibleButton("##minimap", size);
  view.minimap_corner = corner, view.minimap_size = size;
  const std::shared_ptr<const StepBands> own = session.data<StepBandsData>().ask({});
  const Baseline& pinned = session.data<Baseline>();
  // As in the lanes below, the baseline's half is the upper one.
  const bool split = pinned.bands() && session.shows_trial();
  const ImVec2 half(size.x, split ? std::floor(size.y / 2) - 1 : size.y);
  if (split) baseline_.draw(view, pinned.bands(), info.n_step, corner, half);
  trial_.draw(view, own, info.n_step, ImVec2(corner.x, corner.y + size.y - half.y), half);
  drag(info, view, corner, size);
  const float step = (static_cast<float>(session.selection().step) - 0.5F) / static_cast<float>(info.n_step);
  const float x = corner.x + step * size.x;
  ImGui::GetWindowDrawList()->AddLine(ImVec2(x, corner.y), ImVec2(x, corner.y + size.y),
                                      ImGui::ColorConvertFloat4ToU32(palette(view.light).cursor));
  ImGui::SetItemTooltip(
      "all %d steps: the mass lost where it is most, of all layers and KV heads%s%s;\n"
      "drag the window or its edges, double-click for everything",
      info.n_step, split ? "; above that of " : "", split ? baseline_name(session).c_str() : "");
}

}  // namespace reattend::viz
