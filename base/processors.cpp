// Reads the affinity mask, and cpu.max (cgroup v2) or cpu.cfs_quota_us (v1) from the own group up to the root.
#include "base/processors.h"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <fstream>
#include <sstream>
#include <string_view>
#include <vector>

#include <fmt/format.h>

namespace reattend {
namespace {

namespace fs = std::filesystem;

constexpr double kNoQuota = std::numeric_limits<double>::infinity();

/// std::thread::hardware_concurrency counts what is online, with some C libraries whatever the mask says.
int affinity() {
  constexpr size_t kMostProcessors = size_t{1} << 20;
  for (size_t n = 1024; n <= kMostProcessors; n *= 2) {
    cpu_set_t* const mask = CPU_ALLOC(n);
    if (mask == nullptr) break;
    const int result = sched_getaffinity(0, CPU_ALLOC_SIZE(n), mask);
    const bool mask_too_small = result != 0 && errno == EINVAL;
    const int count = result == 0 ? CPU_COUNT_S(CPU_ALLOC_SIZE(n), mask) : 1;
    CPU_FREE(mask);
    if (!mask_too_small) return std::max(1, count);
  }
  return 1;
}

/// A quota of `time` microseconds in each `period`; "max" and -1 are none.
double quota_of(const std::string& time, const std::string& period) {
  std::istringstream times(time), periods(period);
  double a = 0, b = 0;
  return times >> a && periods >> b && a > 0 && b > 0 ? a / b : kNoQuota;
}

double quota_v2(const fs::path& group) {
  std::ifstream file(group / "cpu.max");
  std::string time, period;
  return file >> time >> period ? quota_of(time, period) : kNoQuota;
}

double quota_v1(const fs::path& group) {
  std::ifstream times(group / "cpu.cfs_quota_us"), periods(group / "cpu.cfs_period_us");
  std::string time, period;
  return times >> time && periods >> period ? quota_of(time, period) : kNoQuota;
}

/// Whether `list` ("cpu,cpuacct") has the controller that hands out CPU time.
bool has_cpu(const std::string& list) {
  return ("," + list + ",").find(",cpu,") != std::string::npos;
}

/// The process's group in the hierarchy of v2 ("0::/a/b") or in that of v1's CPU controller ("4:cpu,cpuacct:/a/b").
std::string group_path(const fs::path& root, const bool v2) {
  std::ifstream file(root / "proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (v2 ? line.starts_with("0::") : has_cpu(controllers)) return line.substr(second + 1);
  }
  return {};
}

/// A mounted hierarchy of control groups. A container often sees only its own part of it, mounted at the usual place.
struct Mount {
  std::string top, at;  ///< the group that is mounted, and where
  bool v2 = false;
};

std::vector<Mount> mounts(const fs::path& root) {
  std::vector<Mount> out;
  std::ifstream file(root / "proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    std::istringstream left(line.substr(0, dash)), right(line.substr(dash + 3));
    std::string skip, type, options;
    Mount mount;
    left >> skip >> skip >> skip >> mount.top >> mount.at;
    right >> type >> skip >> options;
    mount.v2 = type == "cgroup2";
    if (mount.v2 || (type == "cgroup" && has_cpu(options))) out.push_back(mount);
  }
  return out;
}

/// The lowest quota from the process's group up to the top of what is mounted: every one of them holds.
double quota(const fs::path& root) {
  double lowest = kNoQuota;
  for (const Mount& mount : mounts(root)) {
    std::string path = group_path(root, mount.v2);
    if (mount.top != "/" && path.starts_with(mount.top)) path.erase(0, mount.top.size());
    const fs::path top = root / fs::path(mount.at).relative_path();
    fs::path group = top / fs::path(path).relative_path();
    std::error_code error;
    if (path.find("..") != std::string::npos || !fs::exists(group, error)) group = top;
    for (;; group = group.parent_path()) {
      lowest = std::min(lowest, mount.v2 ? quota_v2(group) : quota_v1(group));
      if (group == top || group == group.parent_path()) break;
    }
  }
  return lowest;
}

}  // namespace

int Processors::usable() const {
  return static_cast<int>(std::clamp(std::ceil(quota), 1.0, static_cast<double>(affinity)));
}

Processors processors(const fs::path& root) {
  return {.affinity = affinity(), .quota = quota(root)};
}

std::string too_many_threads(const int n_thread, const Processors& processors) {
  const int usable = processors.usable();
  if (n_thread <= usable) return {};
  const std::string quota =
      processors.quota < processors.affinity ? fmt::format(", a CPU quota of {:.4g}", processors.quota) : "";
  return fmt::format("--threads {} is more than can run at once here: {} (CPU affinity {}{}); --threads 0 takes {}",
                     n_thread, usable, processors.affinity, quota, usable);
}

}  // namespace reattend
