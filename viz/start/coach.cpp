// The questions, how it is seen that one was answered, and a small window beside the pane that it is about.
#include "viz/start/coach.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include <imgui.h>
#include <imgui_internal.h>

#include "viz/render/theme.h"

namespace reattend::viz {
namespace {

struct Step {
  const char *panel, *question, *text;
};
constexpr Step kSteps[] = {
    {"Attention", "What is lost?",
     "A row is a decode step, a column a token of the text. Blue is what the policy attends to, orange is attention "
     "that it loses. Point at an orange place: token and weight stand beside the mouse."},
    {"Timeline", "Where?",
     "The map on top has a row for each layer; bright is more lost mass. Click a bright row: it is shown in all "
     "panes."},
    {"Ledger", "What does it cost to mend?",
     "Under more and less stand each layer's best steps, and how KL and time would change. Point at a row."},
    {"Landscape", "Try it.",
     "Drag the cross over the map, or take the star. The strip above all panes says what the setting is predicted to "
     "cost in KL and time; every pane follows."},
    {"Tune", "Save it.", "Press save settings. `reattend run --settings FILE` decodes under it."}};
constexpr int kLast = static_cast<int>(std::size(kSteps));

const ImGuiWindow* panel_window(const char* name) {
  const ImGuiWindow* const window = ImGui::FindWindowByName(name);
  return window != nullptr && window->WasActive && !window->Hidden ? window : nullptr;
}

}  // namespace

void Coach::begin(int step) {
  step_ = step;
  noted_ = placed_ = false;
}

std::string Coach::panel_to_show() const {
  return !noted_ && step_ >= 0 && step_ < kLast ? kSteps[step_].panel : "";
}

bool Coach::done(const Session& session, const SharedView& view) const {
  switch (step_) {
    case 0:
      return view.hover && !session.attended(view.hover->step, view.hover->position).value_or(true);
    case 1:
      return session.selection().layer != layer_;
    case 2: {
      const ImGuiWindow* const hovered = ImGui::GetCurrentContext()->HoveredWindow;
      const ImVec2 mouse = ImGui::GetMousePos();
      // The panel comes to the front under a mouse that may be there already: pointing is moving to it.
      return hovered != nullptr && hovered->RootWindow == panel_window(kSteps[2].panel) &&
             (mouse.x != mouse_.x || mouse.y != mouse_.y);
    }
    case 3:
      return session.settings() != settings_ && session.total_is_current();
    case 4:
      return view.n_saved != n_saved_;
    default:
      return false;
  }
}

void Coach::point_at_panel(const SharedView& view) {
  const ImGuiWindow* const target = panel_window(kSteps[step_].panel);
  const ImGuiViewport& viewport = *ImGui::GetMainViewport();
  const float em = ImGui::GetFontSize(), width = std::min(24 * em, viewport.WorkSize.x - 2 * em);
  ImVec2 at(viewport.WorkPos.x + viewport.WorkSize.x - width - em, viewport.WorkPos.y + viewport.WorkSize.y - 12 * em);
  if (target != nullptr) {
    ImGui::GetForegroundDrawList()->AddRect(target->Pos,
                                            ImVec2(target->Pos.x + target->Size.x, target->Pos.y + target->Size.y),
                                            ImGui::ColorConvertFloat4ToU32(palette(view.light).lost), 0, em * 0.15F);
    // Beside the pane, on the side that has more room.
    const float left = target->Pos.x - viewport.WorkPos.x;
    const float right = viewport.WorkSize.x - left - target->Size.x;
    at.x = right >= left ? target->Pos.x + target->Size.x + em : target->Pos.x - width - em;
    at.x = std::clamp(at.x, viewport.WorkPos.x + em, viewport.WorkPos.x + viewport.WorkSize.x - width - em);
    at.y = std::clamp(target->Pos.y + 3 * em, viewport.WorkPos.y, std::max(viewport.WorkPos.y, at.y));
  }
  // Where it is until the pane has come to the front; afterwards where the user puts it.
  if (!std::exchange(placed_, target != nullptr)) ImGui::SetNextWindowPos(at);
  ImGui::SetNextWindowSize(ImVec2(width, 0));
}

void Coach::draw(const Session& session, const SharedView& view) {
  if (step_ < 0) return;
  if (!std::exchange(noted_, true)) {
    layer_ = session.selection().layer, settings_ = session.settings(), n_saved_ = view.n_saved;
    mouse_ = ImGui::GetMousePos();
    ImGui::SetNextWindowFocus();
  }
  constexpr ImGuiWindowFlags kFlags = ImGuiWindowFlags_NoDocking | ImGuiWindowFlags_NoSavedSettings |
                                      ImGuiWindowFlags_NoFocusOnAppearing | ImGuiWindowFlags_NoCollapse |
                                      ImGuiWindowFlags_AlwaysAutoResize;
  bool open = true;
  if (done(session, view)) begin(step_ + 1);
  const bool all_done = step_ == kLast;
  if (!all_done) {
    point_at_panel(view);
  } else {
    ImGui::SetNextWindowSize(ImVec2(24 * ImGui::GetFontSize(), 0));
  }
  if (ImGui::Begin("Tour", &open, kFlags)) {
    ImGui::PushTextWrapPos(0);
    if (all_done) {
      ImGui::TextUnformatted(
          "That is all. `reattend verify` measures a saved setting in the engine; `reattend tune` looks for one by "
          "itself. The tour starts again from the Help menu.");
    } else {
      ImGui::Text("%d of %d: %s", step_ + 1, kLast, kSteps[step_].question);
      ImGui::Spacing();
      ImGui::TextUnformatted(kSteps[step_].text);
    }
    ImGui::PopTextWrapPos();
    ImGui::Spacing();
    if (all_done) {
      if (ImGui::Button("close")) open = false;
    } else {
      if (ImGui::Button("skip")) begin(step_ + 1);
      ImGui::SameLine();
      if (ImGui::Button("end the tour")) open = false;
    }
  }
  ImGui::End();
  if (!open) step_ = -1;
}

}  // namespace reattend::viz
