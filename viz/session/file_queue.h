// Files that a user drops, chooses or names, taken one after the other: traces are opened, settings files become the
// setting under trial.
#pragma once
#include <deque>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "viz/session/session.h"

namespace reattend::viz {

class FileQueue {
 public:
  /// Opens the first; the others are a menu entry away.
  void start(const std::vector<std::filesystem::path>& traces);
  /// Takes all of them, in order; the last trace stays open.
  void add(const std::vector<std::filesystem::path>& files);
  /// Once a frame, and for whoever cannot wait for it: goes on where the session has done with the one before, and its
  /// error was read.
  void update(Session& session);
  /// Whether a trace has been opened since the last time this was asked.
  bool take_opened() { return std::exchange(opened_, false); }

  /// What the menu offers: without those that could not be opened.
  const std::vector<std::filesystem::path>& traces() const { return traces_; }
  /// Why a settings file could not be taken; empty if it could.
  const std::string& error() const { return error_; }
  void clear_error() { error_.clear(); }
  bool idle() const { return waiting_.empty(); }

 private:
  std::deque<std::filesystem::path> waiting_;
  std::vector<std::filesystem::path> traces_;
  std::filesystem::path opening_;
  bool opened_ = false;
  std::string error_;
};

/// Whether the file is taken for settings: by its name, as a trace that is none should not be read as text.
bool is_settings_file(const std::filesystem::path& path);

}  // namespace reattend::viz
