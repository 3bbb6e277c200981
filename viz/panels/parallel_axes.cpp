// Draws axes and lines with the window's own list: a plot has one x axis, this has none.
#include "viz/panels/parallel_axes.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace reattend::viz {
namespace {

/// Of an axis's height: a shorter drag is a click.
constexpr double kLeastDrag = 0.02;

/// Distance from a point to a line's piece, in pixels.
float distance_to(ImVec2 at, ImVec2 from, ImVec2 to) {
  const float dx = to.x - from.x, dy = to.y - from.y, length = dx * dx + dy * dy;
  const float t = length > 0 ? std::clamp(((at.x - from.x) * dx + (at.y - from.y) * dy) / length, 0.0F, 1.0F) : 0;
  return std::hypot(at.x - from.x - t * dx, at.y - from.y - t * dy);
}

}  // namespace

double ParallelAxis::place(double value) const {
  return logarithmic ? std::log(value / low) / std::log(high / low) : (value - low) / (high - low);
}

double ParallelAxis::value_at(double place) const {
  return logarithmic ? low * std::pow(high / low, place) : low + (high - low) * place;
}

ParallelAxis axis_around(const std::string& title, std::span<const double> values, bool logarithmic) {
  double low = HUGE_VAL, high = -HUGE_VAL;
  for (const double each : values) {
    if (std::isfinite(each)) low = std::min(low, each), high = std::max(high, each);
  }
  if (low > high) low = 0, high = 1;
  logarithmic = logarithmic && low > 0;
  // One value alone lies in the middle.
  if (low == high && logarithmic) low /= 2, high *= 2;
  if (low == high) low -= 0.5, high += 0.5;
  return {title, low, high, logarithmic};
}

bool ParallelAxes::passes(std::span<const ParallelAxis> axes, std::span<const double> values) const {
  for (size_t i = 0; i < axes.size(); ++i) {
    const auto range = ranges_.find(axes[i].title);
    if (range == ranges_.end()) continue;
    if (!(values[i] >= range->second.low && values[i] <= range->second.high)) return false;
  }
  return true;
}

void ParallelAxes::drag(const ParallelAxis& axis, bool pressed, double place) {
  if (pressed) dragged_ = axis.title, from_ = place;
  if (dragged_ != axis.title) return;
  if (std::abs(place - from_) < kLeastDrag) {
    ranges_.erase(axis.title);
  } else {
    ranges_[axis.title] = {axis.value_at(std::min(place, from_)), axis.value_at(std::max(place, from_))};
  }
}

std::optional<size_t> ParallelAxes::draw(const char* id, ImVec2 size, std::span<const ParallelAxis> axes,
                                         std::span<const ParallelLine> lines) {
  ImDrawList& list = *ImGui::GetWindowDrawList();
  const float em = ImGui::GetFontSize();
  const ImVec2 corner = ImGui::GetCursorScreenPos();
  const float top = corner.y + 2.4F * em, height = size.y - 3.8F * em, side = 2.5F * em;
  ImGui::InvisibleButton(id, size);
  if (axes.size() < 2 || height < 2 * em) return {};
  const auto x_of = [&](size_t axis) {
    return corner.x + side + (size.x - 2 * side) * static_cast<float>(axis) / static_cast<float>(axes.size() - 1);
  };
  const auto point = [&](size_t axis, double value) {
    return ImVec2(x_of(axis), top + height * static_cast<float>(1 - axes[axis].place(value)));
  };
  const ImVec2 mouse = ImGui::GetMousePos();
  const bool hovered = ImGui::IsItemHovered(), held = ImGui::IsItemActive();
  if (!held) dragged_.clear();
  const double place = std::clamp(1 - (mouse.y - top) / double{height}, 0.0, 1.0);
  const auto over = [&](size_t axis) { return std::abs(mouse.x - x_of(axis)) < em; };

  std::optional<size_t> nearest;
  float least = 0.5F * em;
  for (const bool pass : {false, true}) {
    for (size_t i = 0; i < lines.size(); ++i) {
      if (passes(axes, lines[i].values) != pass) continue;
      const ImU32 color = pass ? lines[i].color : ImGui::GetColorU32(ImGuiCol_TextDisabled, 0.15F);
      for (size_t a = 0; a < axes.size(); ++a) {
        const double value = lines[i].values[a];
        if (!std::isfinite(value)) continue;
        const ImVec2 from = point(a, value);
        if (a + 1 == axes.size() || !std::isfinite(lines[i].values[a + 1])) {
          list.AddCircleFilled(from, lines[i].width, color);
          continue;
        }
        const ImVec2 to = point(a + 1, lines[i].values[a + 1]);
        list.AddLine(from, to, color, lines[i].width);
        const float away = distance_to(mouse, from, to);
        if (pass && hovered && away < least) least = away, nearest = i;
      }
    }
  }
  const ImU32 text = ImGui::GetColorU32(ImGuiCol_Text), dim = ImGui::GetColorU32(ImGuiCol_TextDisabled);
  const auto centred = [&](const std::string& words, size_t axis, float y, ImU32 color) {
    const float width = ImGui::CalcTextSize(words.c_str()).x;
    const float x = std::clamp(x_of(axis) - width / 2, corner.x, corner.x + size.x - width);
    list.AddText(ImVec2(x, y), color, words.c_str());
  };
  for (size_t a = 0; a < axes.size(); ++a) {
    list.AddLine(ImVec2(x_of(a), top), ImVec2(x_of(a), top + height), text, 0.1F * em);
    centred(axes[a].title, a, corner.y, text);
    centred(fmt::format("{:.3g}", axes[a].high), a, corner.y + 1.1F * em, dim);
    centred(fmt::format("{:.3g}", axes[a].low), a, top + height + 0.2F * em, dim);
    if (held && (over(a) || dragged_ == axes[a].title)) drag(axes[a], ImGui::IsItemActivated(), place);
    const auto range = ranges_.find(axes[a].title);
    if (range == ranges_.end()) continue;
    const ImVec2 low = point(a, range->second.low), high = point(a, range->second.high);
    list.AddRectFilled(ImVec2(low.x - 0.3F * em, high.y), ImVec2(low.x + 0.3F * em, low.y),
                       ImGui::GetColorU32(ImGuiCol_Text, 0.3F));
  }
  // A drag on an axis is none on a line.
  for (size_t a = 0; a < axes.size(); ++a) {
    if (hovered && over(a)) return {};
  }
  return nearest;
}

}  // namespace reattend::viz
