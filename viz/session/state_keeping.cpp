// Between the front end's frames and the providers that hold history, baseline and project.
#include "viz/session/state_keeping.h"

#include <algorithm>

#include <imgui.h>
#include <imgui_internal.h>

#include "viz/session/baseline.h"
#include "viz/session/file_queue.h"
#include "viz/session/history.h"

namespace reattend::viz {
namespace {

/// Nobody is in the middle of a drag, of typing or of holding a key, and nothing plays.
bool at_rest(const SharedView& view) {
  if (view.player.playing() || ImGui::IsAnyItemActive()) return false;
  const ImGuiIO& io = ImGui::GetIO();
  if (std::ranges::any_of(io.MouseDown, [](bool down) { return down; })) return false;
  return std::ranges::none_of(io.KeysData, [](const ImGuiKeyData& key) { return key.Down; });
}

WindowPart window_part(const SharedView& view) {
  return {shown_axes(view), view.layout};
}

/// While nothing is typed Tab is this file's: otherwise the first press would move into a field.
bool flip_key_held() {
  if (ImGui::GetIO().WantTextInput || ImGui::IsAnyItemActive()) return false;
  ImGui::SetKeyOwner(ImGuiKey_Tab, ImGui::GetID("flip"));
  return ImGui::IsKeyDown(ImGuiKey_Tab) && ImGui::GetIO().KeyMods == ImGuiMod_None;
}

void flip(Session& session) {
  const Baseline& baseline = session.data<Baseline>();
  const bool held = flip_key_held();
  if (held && baseline.on_this_trace() && baseline.answer()) {
    if (session.shows_trial() || session.answer() != baseline.answer()) session.show_instead(baseline.answer());
  } else {
    session.show_trial();
  }
}

void move(const UndoState* state, Session& session, SharedView& view) {
  if (state != nullptr) apply(*state, session, view);
}

}  // namespace

std::string begin_frame(Session& session, SharedView& view) {
  std::string layout;
  if (session.tuning() == nullptr) return layout;
  if (const auto window = session.data<Project>().take_window()) {
    show_axes(window->axes, view);
    view.fit_heat_map = false;  // which a panel that is not shown yet would do when it is
    if (window->layout != view.layout) layout = window->layout;
  }
  flip(session);
  return layout;
}

void end_frame(Session& session, const SharedView& view) {
  if (session.tuning() == nullptr || !session.shows_trial()) return;
  const bool rest = at_rest(view);
  session.data<History>().observe(undo_state(session, view), rest, ImGui::GetTime());
  session.data<Project>().save(session, window_part(view), rest);
}

void save_project(const Session& session, const SharedView& view) {
  session.data<Project>().save_now(session, window_part(view));
}

bool undo(Session& session, SharedView& view) {
  session.show_trial();
  const UndoState* const state = session.data<History>().undo(undo_state(session, view));
  move(state, session, view);
  return state != nullptr;
}

bool redo(Session& session, SharedView& view) {
  session.show_trial();
  const UndoState* const state = session.data<History>().redo(undo_state(session, view));
  move(state, session, view);
  return state != nullptr;
}

void go_to_entry(size_t entry, Session& session, SharedView& view) {
  session.show_trial();
  apply(session.data<History>().go_to(entry), session, view);
}

std::string undo_name(const Session& session) {
  const History& history = session.data<History>();
  return history.place() == 0 ? std::string() : history.entries()[history.place()].change;
}

std::string redo_name(const Session& session) {
  const History& history = session.data<History>();
  return history.place() + 1 < history.entries().size() ? history.entries()[history.place() + 1].change : std::string();
}

void pin_trial(Session& session) {
  if (session.tuning() == nullptr || !session.setting_error().empty()) return;
  session.data<Baseline>().pin({session.settings(), {}});
}

void pin_file(Session& session, const std::filesystem::path& path) {
  session.data<Baseline>().pin(is_settings_file(path) ? Baseline::Pinned{Settings::from_toml_file(path), {}}
                                           : Baseline::Pinned{session.settings(), path});
}

void add_note_here(Session& session) {
  if (session.tuning() == nullptr) return;
  const Selection& at = session.selection();
  session.data<Project>().add_note({.text = {},
                                    .steps = {at.step, at.step},
                                    .first_position = at.position,
                                    .last_position = at.position,
                                    .layer = at.layer});
}

void save_bookmark(size_t number, Session& session, const SharedView& view) {
  if (session.tuning() == nullptr) return;
  session.data<Project>().set_bookmark(number - 1, {session.selection(), shown_axes(view)});
}

void go_to_bookmark(size_t number, Session& session, SharedView& view) {
  if (session.tuning() == nullptr) return;
  const std::optional<Bookmark> mark = session.data<Project>().bookmarks()[number - 1];
  if (mark) apply({session.settings(), session.bounds(), mark->selection, mark->axes}, session, view);
}

}  // namespace reattend::viz
