// Reads a folder; what cannot be told of an entry is left out of it.
#include "viz/start/folder_list.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <system_error>
#include <tuple>

#include <fmt/format.h>

namespace reattend::viz {
namespace {

namespace fs = std::filesystem;

std::string in_words(fs::file_time_type time) {
  const auto system = std::chrono::file_clock::to_sys(time);
  const std::time_t seconds =
      std::chrono::system_clock::to_time_t(std::chrono::time_point_cast<std::chrono::system_clock::duration>(system));
  std::tm local{};
  char text[32];
  if (localtime_r(&seconds, &local) == nullptr) return {};
  return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M", &local));
}

}  // namespace

FileFacts facts_of(const fs::path& path) {
  FileFacts facts{.path = path};
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  facts.exists = fs::exists(status);
  facts.folder = fs::is_directory(status);
  if (!facts.exists) return facts;
  if (fs::is_regular_file(status)) {
    const auto bytes = fs::file_size(path, error);
    if (!error) facts.bytes = static_cast<int64_t>(bytes);
  }
  const fs::file_time_type time = fs::last_write_time(path, error);
  if (!error) facts.changed = in_words(time);
  return facts;
}

std::string size_in_words(int64_t bytes) {
  if (bytes < 0) return {};
  const auto size = static_cast<double>(bytes);
  if (size < 1e3) return fmt::format("{} B", bytes);
  if (size < 1e6) return fmt::format("{:.0f} kB", size / 1e3);
  return size < 1e9 ? fmt::format("{:.0f} MB", size / 1e6) : fmt::format("{:.1f} GB", size / 1e9);
}

FolderList list_folder(const fs::path& folder, const Cancel& cancel) {
  FolderList list{.folder = folder};
  std::error_code error;
  list.is_file = fs::is_regular_file(folder, error);
  if (list.is_file) return list;
  size_t n_seen = 0;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    cancel.check();
    list.cut = ++n_seen > kMostEntries;
    if (list.cut) break;
    const std::string name = at->path().filename().string();
    std::error_code unknown;
    const bool wanted = at->is_directory(unknown) || at->path().extension() == ".h5" ||
                        at->path().extension() == ".hdf5" || at->path().extension() == ".toml";
    if (name.starts_with('.') || !wanted) continue;
    list.entries.push_back(facts_of(at->path()));
  }
  if (error) list.error = error.message();
  std::ranges::sort(list.entries, [](const FileFacts& a, const FileFacts& b) {
    return std::tuple(!a.folder, a.path.filename()) < std::tuple(!b.folder, b.path.filename());
  });
  return list;
}

}  // namespace reattend::viz
