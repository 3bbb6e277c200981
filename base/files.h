// The rules for files the program makes: nothing is replaced unless the user says so, devices never; no file is half
// there.
#pragma once
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <span>
#include <string>

namespace reattend {

/// Throws Error (usage) when `path` exists and `force` is not set, or is no plain file's name. Called before long work,
/// so that minutes of it do not end at a name that was taken. `option` is where the name came from.
void refuse_to_replace(const std::filesystem::path& path, bool force, const std::string& option = "--out");

/// Throws Error where `path` would stand in a folder that is not there or can't be written to. Called before long work.
void check_folder_of(const std::filesystem::path& path, const std::string& option);

/// A file that is written beside its name and takes it when it is whole. Throws Error with the system's reason.
class WholeFile {
 public:
  explicit WholeFile(const std::filesystem::path& path);
  /// Removes what was written unless it was published.
  ~WholeFile();
  WholeFile(const WholeFile&) = delete;
  WholeFile& operator=(const WholeFile&) = delete;
  void write(std::span<const std::byte> bytes);
  /// Gives the file its name; what had it is replaced.
  void publish();

 private:
  [[noreturn]] void refuse() const;
  std::string path_, beside_;
  std::FILE* file_;
};

}  // namespace reattend
