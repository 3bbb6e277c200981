// What the window remembers from one run to the next: its size and look, and the traces that were open.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace reattend::viz {

struct Preferences {
  int width = 0, height = 0;                  ///< of the window, in units of size; 0: the program's choice
  bool light = false;                         ///< colours
  float text = 1;                             ///< size of text, 1 is usual
  float scale = 1;                            ///< pixels per unit of size that the docking file's pixels are of
  std::string layout;                         ///< name of the layout that was chosen last; empty: none was
  bool tour_seen = false;                     ///< the coach was followed to its end, or closed
  std::vector<std::filesystem::path> recent;  ///< traces, whole paths, the newest first
};

inline constexpr size_t kMostRecent = 12;

/// Preferences and the file that they are kept in. Several windows may share it: of what they opened nothing is lost,
/// of the rest the last to save wins.
class PreferenceFile {
 public:
  /// Remembers nothing beyond this process.
  PreferenceFile() = default;
  /// A file that is not there, or not one of preferences, leaves everything as usual.
  explicit PreferenceFile(std::filesystem::path path);

  bool is_kept() const { return !path_.empty(); }
  Preferences& now() { return now_; }
  const Preferences& now() const { return now_; }
  /// In one line why the file was not read, or could not be written; empty if it was.
  const std::string& complaint() const { return complaint_; }

  /// Puts a trace at the front of those that were open.
  void opened(const std::filesystem::path& trace);
  /// Takes one off the list.
  void forget(const std::filesystem::path& trace);
  void save();

 private:
  void read_recent();
  void write();
  std::filesystem::path path_;
  Preferences now_;
  std::string complaint_;
};

/// Where programs keep their files for a user, with a folder of ours, which is made; empty where there is no place.
std::filesystem::path config_folder();

}  // namespace reattend::viz
