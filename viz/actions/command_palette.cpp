// A field over a list; arrows choose, Enter runs, Tab or an action that needs arguments fills the field.
#include "viz/actions/command_palette.h"

#include <algorithm>

#include <imgui.h>
#include <imgui_stdlib.h>

#include "base/error.h"
#include "base/utf8.h"
#include "viz/actions/workbench.h"
#include "viz/render/theme.h"

namespace reattend::viz {

void CommandPalette::draw_list(const Keys& keys, const SharedView& view, bool moved) {
  const ImVec4 dim = palette(view.light).dim;
  clicked_ = false;
  for (size_t i = 0; i < found_.size(); ++i) {
    const Candidate& each = found_[i];
    ImGui::PushID(static_cast<int>(i));
    if (ImGui::Selectable(visible(each.title).c_str(), i == at_)) at_ = i, clicked_ = true;
    if (i == at_ && moved) ImGui::SetScrollHereY();
    const std::string right = keys.shown(*each.action) + "   " + each.line;
    const float width = ImGui::CalcTextSize(right.c_str()).x;
    const float title = ImGui::CalcTextSize(each.title.c_str()).x;
    if (title + width + 2 * ImGui::GetFontSize() < ImGui::GetContentRegionAvail().x) {
      ImGui::SameLine(ImGui::GetContentRegionAvail().x - width);
      ImGui::TextColored(dim, "%s", visible(right).c_str());
    }
    ImGui::PopID();
  }
}

std::optional<Call> CommandPalette::choose(const Actions& actions, Workbench& bench, const Candidate& chosen) {
  if (!chosen.problem.empty()) {
    // The first time it is completed to the name; what is wrong with arguments is said where there are some.
    const bool has_arguments = typed_.starts_with(chosen.action->name + " ");
    if (has_arguments) error_ = chosen.problem;
    typed_ = chosen.line + (chosen.line == chosen.action->name ? " " : "");
    to_end_ = true;
    return std::nullopt;
  }
  bench.palette_shown = false;
  return actions.parse(chosen.line);
}

std::optional<Call> CommandPalette::draw(const Actions& actions, const Keys& keys, Workbench& bench) {
  if (!bench.palette_shown) {
    shown_ = false;
    return std::nullopt;
  }
  std::optional<Call> chosen;
  const bool opens = !std::exchange(shown_, true);
  if (opens) typed_.clear(), error_.clear(), looked_up_ = "\n", at_ = 0;
  const ImGuiViewport& viewport = *ImGui::GetMainViewport();
  const float em = ImGui::GetFontSize();
  const float width = std::min(44 * em, viewport.WorkSize.x - 2 * em),
              height = std::min(24 * em, viewport.WorkSize.y * 0.7F);
  ImGui::SetNextWindowPos(ImVec2(viewport.GetCenter().x, viewport.WorkPos.y + 3 * em), ImGuiCond_Always,
                          ImVec2(0.5F, 0));
  ImGui::SetNextWindowSize(ImVec2(width, height));
  constexpr ImGuiWindowFlags kFlags = ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoDocking |
                                      ImGuiWindowFlags_NoMove | ImGuiWindowFlags_NoSavedSettings;
  if (opens) ImGui::SetNextWindowFocus();
  if (ImGui::Begin("##Palette", nullptr, kFlags)) {
    // Focus comes one frame after it was asked for.
    const bool left = !opens && !ImGui::IsWindowAppearing() && !ImGui::IsWindowFocused(ImGuiFocusedFlags_ChildWindows);
    const bool escaped = ImGui::IsKeyPressed(ImGuiKey_Escape);
    if (opens || to_end_) ImGui::SetKeyboardFocusHere();
    ImGui::SetNextItemWidth(-1);
    const auto keep_caret = [](ImGuiInputTextCallbackData* data) {
      auto& to_end = *static_cast<bool*>(data->UserData);
      if (std::exchange(to_end, false)) data->CursorPos = data->SelectionStart = data->SelectionEnd = data->BufTextLen;
      return 0;
    };
    const bool entered = ImGui::InputTextWithHint(
        "##typed", "an action, \"layer 12\", \"step 100\", a token; Enter does it", &typed_,
        ImGuiInputTextFlags_EnterReturnsTrue | ImGuiInputTextFlags_CallbackAlways, keep_caret, &to_end_);
    bool moved = false;
    if (typed_ != looked_up_) {
      if (looked_up_ != "\n") error_.clear();
      looked_up_ = typed_, found_ = candidates(actions, bench, typed_), at_ = 0, moved = true;
    }
    if (ImGui::IsKeyPressed(ImGuiKey_DownArrow) && at_ + 1 < found_.size()) ++at_, moved = true;
    if (ImGui::IsKeyPressed(ImGuiKey_UpArrow) && at_ > 0) --at_, moved = true;
    ImGui::PushTextWrapPos(0);
    if (!error_.empty()) {
      ImGui::TextColored(palette(bench.view.light).error, "%s", visible(error_).c_str());
    } else if (at_ < found_.size() && (found_.size() == 1 || !found_[at_].problem.empty())) {
      const Action& action = *found_[at_].action;
      std::string help = usage_of(action);
      for (const Argument& each : action.arguments) help += "\n" + each.name + ": " + each.help;
      if (!action.further.empty()) help += "\n" + action.further;
      ImGui::TextColored(palette(bench.view.light).dim, "%s", help.c_str());
    } else if (found_.empty()) {
      ImGui::TextColored(palette(bench.view.light).dim, "nothing is called so");
    }
    ImGui::PopTextWrapPos();
    if (ImGui::BeginChild("list")) draw_list(keys, bench.view, moved);
    ImGui::EndChild();
    if (escaped || (left && !clicked_))
      bench.palette_shown = false;
    else if ((entered || clicked_) && at_ < found_.size())
      chosen = choose(actions, bench, found_[at_]);
  }
  ImGui::End();
  return chosen;
}

}  // namespace reattend::viz
