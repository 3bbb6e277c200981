// Controls one after the other, in as many lines as the pane's width makes of them.
#pragma once
#include <imgui.h>

namespace reattend::viz {

/// The next item, `width` pixels wide, stands beside the one before where it fits, else on a line of its own.
inline void flow(float width) {
  const ImGuiStyle& style = ImGui::GetStyle();
  const float edge = ImGui::GetCursorScreenPos().x + ImGui::GetContentRegionAvail().x;
  if (ImGui::GetItemRectMax().x + style.ItemSpacing.x + width <= edge) ImGui::SameLine();
}

inline float text_width(const char* text) {
  return ImGui::CalcTextSize(text, nullptr, true).x;
}
inline float button_width(const char* label) {
  return text_width(label) + 2 * ImGui::GetStyle().FramePadding.x;
}
inline float checkbox_width(const char* label) {
  return text_width(label) + ImGui::GetFrameHeight() + ImGui::GetStyle().ItemInnerSpacing.x;
}

}  // namespace reattend::viz
