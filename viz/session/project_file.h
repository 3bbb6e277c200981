// The project file beside a trace, trace.h5.view.json: what was tried, noted and looked at.
#pragma once
#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "viz/session/baseline.h"
#include "viz/session/history.h"
#include "viz/session/tried.h"

namespace reattend::viz {

/// A remark on steps, and on positions where there are some; of one layer, or of all.
struct Note {
  std::string text;
  Steps steps;
  int32_t first_position = -1, last_position = -1;  ///< -1: none
  int32_t layer = -1;                               ///< -1: all
  bool operator==(const Note&) const = default;
};

struct Bookmark {
  Selection selection;
  ShownAxes axes;
  bool operator==(const Bookmark&) const = default;
};
inline constexpr size_t kBookmarks = 9;

/// What the file holds.
struct ProjectData {
  std::string trace_id;
  Settings settings;
  TuneBounds bounds;
  Selection selection;
  ShownAxes axes;
  std::string layout;  ///< name of the panels' arrangement
  std::optional<Baseline::Pinned> baseline;
  std::vector<TriedSetting> tried;
  std::vector<Note> notes;
  std::array<std::optional<Bookmark>, kBookmarks> bookmarks;
};

/// More, or longer ones, are refused.
inline constexpr size_t kMostNotes = 1000, kMostNoteBytes = 2000;

std::filesystem::path project_path(const std::filesystem::path& trace);
/// Tells a recording from all others, whatever its file is called and however many steps it has by now: SHA-256 of when
/// and of which model it was made, its shape and its prompt.
std::string trace_id(const TraceInfo& info, const std::vector<std::string>& token_texts);

std::string project_text(const ProjectData& data);
/// Throws Error naming `where` for what is no such file, has something unknown in it, or is of a newer version.
ProjectData project_from_text(std::string_view text, const std::string& where);

/// What there is to know of a trace's project file when the trace is opened.
struct FoundProject {
  std::string trace_id;
  std::optional<ProjectData> data;
  /// Why the file that is there is not used, and must not be replaced; empty where there is none or it is used.
  std::string refused;
};
/// Never throws for what is in the file.
FoundProject read_project(const std::filesystem::path& trace, const std::string& trace_id);

}  // namespace reattend::viz
