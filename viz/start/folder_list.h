// What a folder holds, for a file dialog: read on a thread of its own, since a folder may be far away or huge.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/progress.h"

namespace reattend::viz {

/// A file or folder as far as the system tells of it.
struct FileFacts {
  std::filesystem::path path;
  bool exists = false, folder = false;
  int64_t bytes = -1;   ///< -1: unknown
  std::string changed;  ///< "2026-12-01 11:50"; empty: unknown
};
FileFacts facts_of(const std::filesystem::path& path);
/// "163 MB".
std::string size_in_words(int64_t bytes);

struct FolderList {
  std::filesystem::path folder;
  std::vector<FileFacts> entries;  ///< folders first, then traces and settings files, each by name
  bool is_file = false;            ///< it is no folder
  bool cut = false;                ///< there are more than kMostEntries
  std::string error;               ///< why it could not be read; empty if it could
};
inline constexpr size_t kMostEntries = 10000;
/// Throws Cancelled.
FolderList list_folder(const std::filesystem::path& folder, const Cancel& cancel);

}  // namespace reattend::viz
