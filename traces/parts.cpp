// Names, and the writer's lock.
#include "traces/parts.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <vector>

#include "traces/live.h"

namespace reattend {
namespace {

constexpr std::string_view kMark = ".part-";

bool is_number(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
}

bool is_written(const std::filesystem::path& part) {
  const int fd = ::open(part.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return false;
  const bool live = is_live(fd);
  ::close(fd);
  return live;
}

}  // namespace

std::filesystem::path part_of(const std::filesystem::path& path) {
  return path.string() + std::string(kMark) + std::to_string(getpid());
}

bool is_part(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  const size_t mark = name.rfind(kMark);
  return mark != std::string::npos && mark > 0 && is_number(std::string_view(name).substr(mark + kMark.size()));
}

std::string part_text(const std::filesystem::path& part) {
  return is_written(part) ? "a trace in the making, which has no step yet and takes its name with the first one"
                          : "what is left of a recording killed before its first step, or of a copy before it was "
                            "whole: it holds nothing that can be read, and may be removed";
}

std::string parts_beside(const std::filesystem::path& path) {
  const std::string begin = path.filename().string() + std::string(kMark);
  std::vector<std::filesystem::path> parts;
  std::error_code error;
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  for (auto each = std::filesystem::directory_iterator(folder, error);
       !error && each != std::filesystem::directory_iterator(); each.increment(error)) {
    const std::string name = each->path().filename().string();
    if (name.starts_with(begin) && is_number(std::string_view(name).substr(begin.size())))
      parts.push_back(each->path());
  }
  if (parts.empty()) return {};
  // The one that is being written says most.
  const auto live = std::find_if(parts.begin(), parts.end(), is_written);
  const auto& shown = live != parts.end() ? *live : *std::min_element(parts.begin(), parts.end());
  return shown.filename().string() + " beside it is " + part_text(shown) +
         (parts.size() > 1 ? " (and " + std::to_string(parts.size() - 1) + " more)" : "");
}

}  // namespace reattend
