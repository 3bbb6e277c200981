// What a frame does for undo, the baseline and the project file, and what actions and menus ask of them.
#pragma once
#include <string>

#include "viz/session/project.h"
#include "viz/session/session.h"
#include "viz/session/shared_view.h"

namespace reattend::viz {

/// Before panels are drawn: the axes of a project file, and the baseline in place of the setting under trial while Tab
/// is held. Returns the arrangement of panels that the file has, once; empty where it is the one that is shown.
std::string begin_frame(Session& session, SharedView& view);
/// Behind all panels: records what changed, and writes the project file.
void end_frame(Session& session, const SharedView& view);
/// What the window closes with: writes what is not written yet. Throws Error.
void save_project(const Session& session, const SharedView& view);

/// False where there is nothing to go back to, or forward.
bool undo(Session& session, SharedView& view);
bool redo(Session& session, SharedView& view);
void go_to_entry(size_t entry, Session& session, SharedView& view);
/// What undo would take back, "K 64 → 128"; empty where there is nothing.
std::string undo_name(const Session& session);
std::string redo_name(const Session& session);

/// The setting under trial becomes the baseline.
void pin_trial(Session& session);
/// A settings file's setting, or another trace under the setting under trial. Throws Error for a file of settings that
/// cannot be read.
void pin_file(Session& session, const std::filesystem::path& path);

/// A note at the selected step, and position if there is one, to be written in the panel of notes.
void add_note_here(Session& session);
/// Bookmarks 1 .. kBookmarks; going to one that is not there does nothing.
void save_bookmark(size_t number, Session& session, const SharedView& view);
void go_to_bookmark(size_t number, Session& session, SharedView& view);

}  // namespace reattend::viz
