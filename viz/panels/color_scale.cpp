// Decades on a logarithmic scale, quarters on a linear one.
#include "viz/panels/color_scale.h"

#include <cmath>

#include <fmt/format.h>

#include "viz/panels/plot_helpers.h"

namespace reattend::viz {

void draw_color_scale(const HeatColors& colors, bool signs, ImVec2 size) {
  ImDrawList& list = *ImGui::GetWindowDrawList();
  const ImVec2 corner = ImGui::GetCursorScreenPos();
  ImGui::Dummy(size);
  const float line = ImGui::GetFontSize();
  const float bar = line * (signs ? 0.55F : 1.1F), top = corner.y + line * 0.6F, height = size.y - line * 1.8F;
  color_bands(list, ImVec2(corner.x, top), ImVec2(bar, height), color_table(colors.positive));
  if (signs) color_bands(list, ImVec2(corner.x + bar + 1, top), ImVec2(bar, height), color_table(colors.negative));
  const ImU32 text = ImGui::GetColorU32(ImGuiCol_Text);
  const float text_x = corner.x + line * 1.3F;
  const int n_tick = colors.scale.logarithmic ? 8 : 5;
  for (int i = 0; i < n_tick; ++i) {
    const float value = colors.scale.logarithmic
                            ? std::pow(10.0F, -static_cast<float>(i))
                            : colors.scale.high * static_cast<float>(i) / static_cast<float>(n_tick - 1);
    if (value > colors.scale.high * 1.001F || value < colors.scale.low * 0.999F) continue;
    const float y = top + height * (1 - colors.scale.place(value));
    const std::string label =
        colors.scale.logarithmic && i > 2 ? fmt::format("1e-{}", i) : fmt::format("{:.3g}", value);
    list.AddText(ImVec2(text_x, y - line / 2), text, label.c_str());
  }
}

}  // namespace reattend::viz
