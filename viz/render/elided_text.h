// Text for a given room: shortened in the middle where it does not fit, and whole under the mouse.
#pragma once
#include <string>

#include <imgui.h>

namespace reattend::viz {

/// As much of both ends as fits into `room` pixels with an ellipsis between them. What tells files apart stands at the
/// end of a path, and at the beginning of most else.
std::string elided(const std::string& text, float room);

/// The whole text in a tooltip where the item before shows less of it.
void explain_elided(const std::string& text, float room);

void elided_text(const std::string& text, float room, const ImVec4& color);
/// Not wider than `room`, padding included; `id` is the button's own.
bool elided_button(const std::string& text, float room, const char* id);

}  // namespace reattend::viz
