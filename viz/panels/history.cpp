// The history panel: what was changed, in its order; a click goes back to that moment or forward to it again.
#include <fmt/format.h>
#include <imgui.h>

#include "viz/panels/panel.h"
#include "viz/panels/panel_tables.h"
#include "viz/render/elided_text.h"
#include "viz/session/history.h"
#include "viz/session/state_keeping.h"

namespace reattend::viz {
namespace {

class HistoryPanel : public Panel {
 public:
  const char* name() const override { return "History"; }
  Dock dock() const override { return Dock::left_bottom; }
  const char* shows() const override { return "What was changed, and the way back."; }
  std::vector<PanelTable> tables(const Session& session, const SharedView&) const override {
    return {{"history", [&session] { return history_table(session); }}};
  }
  void draw(Session& session, SharedView& view) override;

 private:
  size_t place_ = 0;  ///< that was scrolled to
};

void HistoryPanel::draw(Session& session, SharedView& view) {
  const History& history = session.data<History>();
  if (history.entries().empty()) return ImGui::TextDisabled("nothing has changed yet");
  std::optional<size_t> taken;
  ImGuiListClipper clipper;
  clipper.Begin(static_cast<int>(history.entries().size()));
  while (clipper.Step()) {
    for (int i = clipper.DisplayStart; i < clipper.DisplayEnd; ++i) {
      const auto entry = static_cast<size_t>(i);
      const std::string& change = history.entries()[entry].change;
      const std::string text = change.empty() ? std::string("as it was opened") : change;
      ImGui::PushID(i);
      // What was undone is still there, and dim.
      const bool undone = entry > history.place();
      if (undone) ImGui::PushStyleColor(ImGuiCol_Text, ImGui::GetStyleColorVec4(ImGuiCol_TextDisabled));
      const std::string line = elided(text, ImGui::GetContentRegionAvail().x);
      if (ImGui::Selectable(line.c_str(), entry == history.place())) taken = entry;
      if (undone) ImGui::PopStyleColor();
      ImGui::SetItemTooltip("%s\nclick: go to this moment", text.c_str());
      ImGui::PopID();
    }
  }
  if (place_ != history.place()) {
    place_ = history.place();
    const float row = ImGui::GetTextLineHeightWithSpacing();
    ImGui::SetScrollY(row * static_cast<float>(place_) - ImGui::GetWindowHeight() / 2);
  }
  if (taken) go_to_entry(*taken, session, view);
}

}  // namespace

std::unique_ptr<Panel> make_history() {
  return std::make_unique<HistoryPanel>();
}

}  // namespace reattend::viz
