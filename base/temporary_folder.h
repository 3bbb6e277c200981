// A folder for the files of one piece of work, gone when the work is done.
#pragma once
#include <filesystem>
#include <string>

namespace reattend {

class TemporaryFolder {
 public:
  /// In the system's folder for temporary files.
  TemporaryFolder();
  /// In `parent`, which is made where it is missing; `remedy` stands in the message where that fails.
  TemporaryFolder(const std::filesystem::path& parent, const std::string& remedy);
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace reattend
