// Finds the largest loss of each piece of the strip when what it shows has changed, and draws it in every frame.
#include "viz/panels/loss_strip.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "viz/render/theme.h"

namespace reattend::viz {
namespace {

constexpr float kPiece = 2;  ///< pixels

}  // namespace

void LossStrip::take_losses(const Session& session, const SharedView& view, const TokenColors& colors,
                            const TextLayout& layout, int32_t step, int32_t n_place) {
  const Selection& at = session.selection();
  const bool sums = view.text_colors == TextColors::loss;
  const Key key = {.losses = colors.losses(),
                   .answer = session.answer().get(),
                   .trace = session.trace_version(),
                   .by = view.text_colors,
                   .step = sums ? 0 : step,
                   .layer = at.layer,
                   .kv_head = at.kv_head,
                   .n_line = layout.n_line(),
                   .n_place = n_place,
                   .weights = !sums && session.weight(step, 0).has_value(),
                   .sets = !sums && session.attended(step, 0).has_value()};
  if (key == key_) return;
  key_ = key;
  places_.assign(static_cast<size_t>(n_place), 0);
  for (int32_t line = 0; line < layout.n_line(); ++line) {
    const ByteRange bytes = layout.line(line);
    float most = 0;
    for (int32_t i = layout.position_of(bytes.begin); i <= layout.position_of(bytes.end - 1); ++i) {
      most = std::max(most, colors.loss_place(session, view, i, step));
    }
    const auto first = static_cast<size_t>(int64_t{line} * n_place / layout.n_line());
    const auto end = static_cast<size_t>(int64_t{line + 1} * n_place / layout.n_line());
    for (size_t i = first; i < std::max(end, first + 1); ++i) places_[i] = std::max(places_[i], most);
  }
}

void LossStrip::draw(const Session& session, const SharedView& view, const TokenColors& colors,
                     const TextLayout& layout, int32_t step, float width) {
  const ImVec2 window = ImGui::GetWindowPos(), size = ImGui::GetWindowSize();
  const float right = window.x + size.x - ImGui::GetStyle().ScrollbarSize, left = right - width;
  take_losses(session, view, colors, layout, step, std::max(1, static_cast<int32_t>(size.y / kPiece)));
  ImDrawList& list = *ImGui::GetWindowDrawList();
  const Palette& palette_now = palette(view.light);
  const float piece = size.y / static_cast<float>(places_.size());
  for (size_t i = 0; i < places_.size(); ++i) {
    if (places_[i] <= 0) continue;
    ImVec4 color = palette_now.lost;
    color.w = places_[i];
    const float y = window.y + static_cast<float>(i) * piece;
    list.AddRectFilled(ImVec2(left, y), ImVec2(right, y + piece), ImGui::ColorConvertFloat4ToU32(color));
  }
  int32_t drawn = -1;  // the line of text that has a tick: what is found lies in the order of the text
  const auto tick = [&](int32_t position, ImVec4 color) {
    const int32_t line = layout.line_of(layout.bytes_of(position).begin);
    if (std::exchange(drawn, line) == line) return;
    const float y = window.y + (static_cast<float>(line) + 0.5F) / static_cast<float>(layout.n_line()) * size.y;
    list.AddLine(ImVec2(left, y), ImVec2(right, y), ImGui::ColorConvertFloat4ToU32(color), 2);
  };
  for (const int32_t position : view.found) tick(position, palette_now.threshold);
  const int32_t selected = session.selection().position;
  drawn = -1;
  if (selected >= 0 && selected < layout.n_position()) tick(selected, palette_now.cursor);
  const ImVec2 mouse = ImGui::GetIO().MousePos;
  const bool inside = ImGui::IsWindowHovered() && mouse.x >= left && mouse.x < right;
  if (inside && ImGui::IsMouseDown(ImGuiMouseButton_Left)) {
    const float share = (mouse.y - window.y) / size.y;
    ImGui::SetScrollY(share * (ImGui::GetScrollMaxY() + size.y) - size.y / 2);
  }
  if (inside && !ImGui::IsMouseDown(ImGuiMouseButton_Left)) {
    const std::string when = view.text_colors == TextColors::loss ? "over steps" : fmt::format("at step {}", step);
    ImGui::SetTooltip("the whole text: orange where tokens are lost %s, pink where something was found", when.c_str());
  }
}

}  // namespace reattend::viz
