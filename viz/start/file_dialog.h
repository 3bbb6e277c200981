// A dialog in which one walks through folders and chooses a trace or a settings file. Drawn by ourselves: a dialog of
// the desktop's is another program, which may be missing, or never answer.
#pragma once
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "base/background.h"
#include "viz/start/folder_list.h"

namespace reattend::viz {

class FileDialog {
 public:
  /// `wake` is called from another thread when a folder has been read.
  explicit FileDialog(std::function<void()> wake);

  /// From the next frame on; in `folder`, or where it was last.
  void open(const std::filesystem::path& folder = {});
  /// The file that was chosen in this frame.
  std::optional<std::filesystem::path> draw();
  /// No folder is being read.
  bool idle() const;

 private:
  void enter(const std::filesystem::path& folder);
  void draw_path();
  void draw_entries(float height);
  /// A file is chosen, a folder is entered.
  void take(const std::filesystem::path& path, bool folder);

  FolderList list_;                 ///< what is shown
  std::optional<FolderList> read_;  ///< guarded by tasks_
  std::filesystem::path folder_, selected_;
  std::string typed_;
  std::optional<std::filesystem::path> chosen_;
  bool asked_ = false;
  BackgroundTasks tasks_;  ///< last: it ends before what it writes to
};

}  // namespace reattend::viz
