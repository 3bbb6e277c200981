// Searches for the most characters that fit.
#include "viz/render/elided_text.h"

#include <algorithm>

#include "base/utf8.h"

namespace reattend::viz {
namespace {

float width_of(const std::string& text) {
  return ImGui::CalcTextSize(text.c_str()).x;
}

}  // namespace

std::string elided(const std::string& text, float room) {
  if (width_of(text) <= room) return text;
  const auto n = static_cast<int64_t>(character_count(text));
  const auto with = [&](int64_t kept) {
    const int64_t front = (kept + 1) / 2;
    const size_t head = first_utf8_chars(text, front).bytes, tail = first_utf8_chars(text, n - (kept - front)).bytes;
    return text.substr(0, head) + "\u2026" + text.substr(tail);
  };
  int64_t low = 0, high = n;  // `low` characters fit, or are as few as there can be
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    (width_of(with(middle)) <= room ? low : high) = middle;
  }
  return with(low);
}

void explain_elided(const std::string& text, float room) {
  if (width_of(text) <= room || !ImGui::BeginItemTooltip()) return;
  ImGui::PushTextWrapPos(ImGui::GetFontSize() * 40);
  ImGui::TextUnformatted(text.c_str());
  ImGui::PopTextWrapPos();
  ImGui::EndTooltip();
}

void elided_text(const std::string& text, float room, const ImVec4& color) {
  ImGui::TextColored(color, "%s", elided(text, room).c_str());
  explain_elided(text, room);
}

bool elided_button(const std::string& text, float room, const char* id) {
  const float inner = room - 2 * ImGui::GetStyle().FramePadding.x;
  const bool pressed = ImGui::Button((elided(text, inner) + "###" + id).c_str());
  explain_elided(text, inner);
  return pressed;
}

}  // namespace reattend::viz
