// Reads what /proc/meminfo and the container's limit say of memory.
#include "base/free_memory.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <string>

namespace reattend {
namespace {

/// The number behind `key`, or the file's first one for an empty key; -1 where there is none.
int64_t number_in(const char* path, const std::string& key) {
  std::ifstream file(path);
  std::string word;
  while (file >> word) {
    if (!key.empty() && word != key) continue;
    if (!key.empty()) file >> word;
    return word == "max" ? std::numeric_limits<int64_t>::max() : std::strtoll(word.c_str(), nullptr, 10);
  }
  return -1;
}

}  // namespace

int64_t free_memory() {
  const int64_t kilobytes = number_in("/proc/meminfo", "MemAvailable:");
  const int64_t most = number_in("/sys/fs/cgroup/memory.max", ""),
                used = number_in("/sys/fs/cgroup/memory.current", "");
  int64_t left = kilobytes < 0 ? std::numeric_limits<int64_t>::max() : kilobytes * 1024;
  if (most >= 0 && used >= 0) left = std::min(left, most - used);
  return left;
}

}  // namespace reattend
