// Looks at the parts beside a trace: their first bytes and the writer's lock.
#include "traces/parts.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <vector>

#include "base/files.h"
#include "traces/live.h"

namespace reattend {
namespace {

struct Part {
  bool live = false;
  bool empty = false;  ///< for certain
};

/// Empty: no bytes, or a superblock that HDF5 (format 3) opened for writing and never completed: its flags say so, and
/// it knows of the file's first page alone. The writer's first flush is that which makes steps readable at all.
Part look_at(const std::filesystem::path& part) {
  const int fd = ::open(part.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return {};
  constexpr size_t kFlags = 11, kEnd = 28;
  constexpr unsigned char kBegin[kFlags + 1] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n', 3, 8, 8, 1};
  constexpr uint64_t kPage = 4096;
  unsigned char head[kEnd + 8] = {};
  const ssize_t n = pread(fd, head, sizeof head, 0);
  uint64_t end = 0;
  for (size_t i = 8; i-- > 0;) end = end << 8 | head[kEnd + i];
  const bool begun = n == sizeof head && std::equal(std::begin(kBegin), std::end(kBegin), head) && end <= kPage;
  const Part out = {.live = is_live(fd), .empty = n == 0 || begun};
  ::close(fd);
  return out;
}

}  // namespace

std::string part_text(const std::filesystem::path& part) {
  const Part what = look_at(part);
  if (what.live) return "a trace in the making: a recording before its first step, or a copy that is not whole yet";
  const std::string left = "what is left of a recording killed before its first step, or of a copy before it was whole";
  return what.empty ? left + ": no step is in it, and it may be removed" : "by its name " + left;
}

std::string parts_beside(const std::filesystem::path& path) {
  const std::string begin = part_prefix(path);
  std::vector<std::filesystem::path> parts;
  std::error_code error;
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  for (auto each = std::filesystem::directory_iterator(folder, error);
       !error && each != std::filesystem::directory_iterator(); each.increment(error)) {
    const std::string name = each->path().filename().string();
    const bool of_this = name.starts_with(begin) && name.find_first_not_of("0123456789", begin.size()) == name.npos;
    if (of_this && is_part(name)) parts.push_back(each->path());
  }
  if (parts.empty()) return {};
  // The one that is being written says most.
  const auto live = std::find_if(parts.begin(), parts.end(), [](const auto& part) { return look_at(part).live; });
  const auto& shown = live != parts.end() ? *live : *std::min_element(parts.begin(), parts.end());
  return shown.filename().string() + " beside it is " + part_text(shown) +
         (parts.size() > 1 ? " (and " + std::to_string(parts.size() - 1) + " more)" : "");
}

}  // namespace reattend
