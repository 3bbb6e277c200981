// One table with a heading for each group, in the order of the table of actions; a field above it narrows it.
#include "viz/actions/key_sheet.h"

#include <algorithm>

#include <imgui.h>
#include <imgui_stdlib.h>

#include "base/utf8.h"
#include "viz/actions/fuzzy.h"
#include "viz/render/theme.h"

namespace reattend::viz {
namespace {

KeyGroup mouse() {
  return {"mouse",
          {{"wheel", "zoom at the mouse; over an axis, that axis only", {}},
           {"drag, middle drag", "pan; on the threshold line, move it", {}},
           {"Ctrl drag", "mark a range of steps", {}},
           {"right drag", "zoom to a rectangle", {}},
           {"click", "select step, position or layer", {}},
           {"double click", "show everything", {}},
           {"Ctrl click", "type a slider's value", {}}}};
}

}  // namespace

std::vector<KeyGroup> key_groups(const Actions& actions, const Keys& keys, const std::string& search) {
  std::vector<KeyGroup> groups;
  for (const Action& action : actions.all()) {
    std::vector<KeyRow> rows;
    for (const KeyBinding& each : keys.all()) {
      if (each.call.action != &action) continue;
      const std::string line = to_line(each.call);
      const auto at = std::ranges::find(rows, line, &KeyRow::name);
      if (at == rows.end())
        rows.push_back({to_text(each.chord), action.title + line.substr(action.name.size()), line});
      else
        at->keys += ", " + to_text(each.chord);
    }
    if (rows.empty()) continue;
    auto group = std::ranges::find(groups, action.group, &KeyGroup::name);
    if (group == groups.end()) group = groups.insert(groups.end(), {action.group, {}});
    group->rows.insert(group->rows.end(), rows.begin(), rows.end());
  }
  groups.push_back(mouse());
  for (KeyGroup& group : groups) {
    std::erase_if(group.rows, [&](const KeyRow& row) {
      return fuzzy_score(search, row.keys + " " + row.title + " " + row.name + " " + group.name) == 0;
    });
  }
  std::erase_if(groups, [](const KeyGroup& group) { return group.rows.empty(); });
  return groups;
}

void KeySheet::draw(const Actions& actions, const Keys& keys, Workbench& bench, const std::string& problem) {
  if (!bench.keys_shown) return;
  const ImGuiViewport& viewport = *ImGui::GetMainViewport();
  const float em = ImGui::GetFontSize();
  ImGui::SetNextWindowPos(viewport.GetCenter(), ImGuiCond_Appearing, ImVec2(0.5F, 0.5F));
  ImGui::SetNextWindowSize(
      ImVec2(std::min(46 * em, viewport.WorkSize.x), std::min(40 * em, viewport.WorkSize.y * 0.9F)),
      ImGuiCond_Appearing);
  constexpr ImGuiWindowFlags kFlags = ImGuiWindowFlags_NoDocking | ImGuiWindowFlags_NoSavedSettings;
  if (ImGui::Begin("Keys", &bench.keys_shown, kFlags)) {
    ImGui::SetNextItemWidth(-1);
    ImGui::InputTextWithHint("##search", "search", &search_);
    if (!problem.empty()) {
      ImGui::PushTextWrapPos(0);
      ImGui::TextColored(palette(bench.view.light).error, "%s", visible(problem).c_str());
      ImGui::PopTextWrapPos();
    }
    constexpr ImGuiTableFlags kTable = ImGuiTableFlags_RowBg | ImGuiTableFlags_ScrollY;
    if (ImGui::BeginTable("keys", 2, kTable)) {
      ImGui::TableSetupColumn("keys", ImGuiTableColumnFlags_WidthFixed, 11 * em);
      ImGui::TableSetupColumn("what", ImGuiTableColumnFlags_WidthStretch);
      ImGui::PushTextWrapPos(0);
      for (const KeyGroup& group : key_groups(actions, keys, search_)) {
        ImGui::TableNextRow();
        ImGui::TableNextColumn();
        ImGui::TextColored(palette(bench.view.light).kept, "%s", group.name.c_str());
        for (const KeyRow& row : group.rows) {
          ImGui::TableNextRow();
          ImGui::TableNextColumn();
          ImGui::TextUnformatted(row.keys.c_str());
          ImGui::TableNextColumn();
          ImGui::PushTextWrapPos(0);
          ImGui::TextUnformatted(row.title.c_str());
          ImGui::PopTextWrapPos();
          if (!row.name.empty()) ImGui::SetItemTooltip("%s", row.name.c_str());
        }
      }
      ImGui::PopTextWrapPos();
      ImGui::EndTable();
    }
  }
  ImGui::End();
}

}  // namespace reattend::viz
