// The notes panel: remarks on steps and positions, kept in the project file; bookmarks of views.
#include <fmt/format.h>
#include <imgui.h>
#include <imgui_stdlib.h>

#include "viz/panels/note_marks.h"
#include "viz/panels/panel.h"
#include "viz/panels/panel_tables.h"
#include "viz/panels/waiting.h"
#include "viz/render/theme.h"
#include "viz/session/project.h"
#include "viz/session/state_keeping.h"

namespace reattend::viz {
namespace {

class NotesPanel : public Panel {
 public:
  const char* name() const override { return "Notes"; }
  Dock dock() const override { return Dock::left_bottom; }
  const char* shows() const override { return "Notes on steps and positions, kept beside the trace."; }
  std::vector<PanelTable> tables(const Session& session, const SharedView&) const override {
    return {{"notes", [&session] { return notes_table(session); }},
            {"bookmarks", [&session] { return bookmarks_table(session); }}};
  }
  void draw(Session& session, SharedView& view) override;

 private:
  void draw_bookmarks(Session& session, SharedView& view) const;
  void draw_note(Session& session, size_t i);

  uint64_t trace_version_ = 0;
  size_t n_note_ = 0;  ///< of the last frame: a new one is written next
  std::optional<size_t> removed_;
};

void NotesPanel::draw_bookmarks(Session& session, SharedView& view) const {
  const auto& marks = session.data<Project>().bookmarks();
  bool any = false;
  for (size_t i = 0; i < marks.size(); ++i) {
    if (!marks[i]) continue;
    if (!std::exchange(any, true)) {
      ImGui::AlignTextToFramePadding();
      ImGui::TextUnformatted("bookmarks");
    }
    ImGui::SameLine();
    const Selection& at = marks[i]->selection;
    if (ImGui::SmallButton(fmt::format("{}##bookmark", i + 1).c_str())) go_to_bookmark(i + 1, session, view);
    ImGui::SetItemTooltip("layer %d, KV head %d, step %d (key %zu; Ctrl with it puts it elsewhere)", at.layer,
                          at.kv_head, at.step, i + 1);
  }
}

void NotesPanel::draw_note(Session& session, size_t i) {
  Project& project = session.data<Project>();
  Note note = project.notes()[i];
  ImGui::PushID(static_cast<int>(i));
  ImGui::TableNextRow();
  ImGui::TableNextColumn();
  ImGui::AlignTextToFramePadding();
  if (ImGui::Selectable(place_of(note).c_str())) {
    if (note.layer >= 0) session.select_layer(note.layer);
    session.select_step(note.steps.first);
    session.select_position(note.first_position);
  }
  ImGui::SetItemTooltip("%s\nclick: go there", place_of(note).c_str());
  ImGui::TableNextColumn();
  ImGui::SetNextItemWidth(-1);
  const bool is_new = i + 1 == project.notes().size() && project.notes().size() > n_note_;
  if (is_new) ImGui::SetKeyboardFocusHere();
  // Kept as it is typed: a window that is closed meanwhile loses nothing.
  if (ImGui::InputTextWithHint("##text", "what is remarkable here", &note.text) && note.text.size() <= kMostNoteBytes) {
    project.change_note(i, note);
  }
  if (!note.text.empty()) ImGui::SetItemTooltip("%s", note.text.c_str());
  ImGui::TableNextColumn();
  if (ImGui::SmallButton("\u00d7")) removed_ = i;
  ImGui::SetItemTooltip("remove this note");
  ImGui::PopID();
}

void NotesPanel::draw(Session& session, SharedView& view) {
  if (lacks_steps(session)) return;
  Project& project = session.data<Project>();
  if (std::exchange(trace_version_, session.trace_version()) != session.trace_version())
    n_note_ = project.notes().size();
  if (ImGui::Button("add a note")) add_note_here(session);
  const Selection& at = session.selection();
  ImGui::SetItemTooltip("at layer %d, step %d, and the selected position if there is one (Ctrl M)", at.layer, at.step);
  draw_bookmarks(session, view);
  if (!project.message().empty()) {
    ImGui::PushTextWrapPos(0);
    ImGui::TextColored(palette(view.light).error, "%s", project.message().c_str());
    ImGui::PopTextWrapPos();
  }
  if (project.notes().empty()) {
    ImGui::PushTextWrapPos(0);
    ImGui::TextDisabled(
        "A note stands at a step and position, and is kept beside the trace. Ctrl 1 to 9 keep a view, 1 to "
        "9 go back to it.");
    ImGui::PopTextWrapPos();
  }
  constexpr ImGuiTableFlags kFlags =
      ImGuiTableFlags_RowBg | ImGuiTableFlags_ScrollY | ImGuiTableFlags_SizingStretchProp;
  if (project.notes().empty() || !ImGui::BeginTable("notes", 3, kFlags)) return;
  const float em = ImGui::GetFontSize();
  ImGui::TableSetupColumn("where", ImGuiTableColumnFlags_WidthFixed);
  ImGui::TableSetupColumn("note", ImGuiTableColumnFlags_WidthStretch);
  ImGui::TableSetupColumn("", ImGuiTableColumnFlags_WidthFixed, 1.5F * em);
  removed_.reset();
  for (size_t i = 0; i < project.notes().size(); ++i) draw_note(session, i);
  n_note_ = project.notes().size();
  if (removed_) project.remove_note(*removed_), --n_note_;
  ImGui::EndTable();
}

}  // namespace

std::unique_ptr<Panel> make_notes() {
  return std::make_unique<NotesPanel>();
}

}  // namespace reattend::viz
