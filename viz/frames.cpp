// Looks at ImGui's queue of events, which it does not tell of otherwise.
#include "viz/frames.h"

#include <imgui.h>
#include <imgui_internal.h>

namespace reattend::viz {

void build_frames(const std::function<void()>& begin, const std::function<void()>& draw) {
  constexpr int kMost = 400;  // who holds a key down still sees something
  for (int i = 0; i < kMost; ++i) {
    begin();
    ImGui::NewFrame();
    draw();
    ImGui::Render();
    if (ImGui::GetCurrentContext()->InputEventsQueue.empty()) return;
  }
}

}  // namespace reattend::viz
