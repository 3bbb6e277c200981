// How many processors may be used: a container with a quota of two on a machine of 64 must not start 64 threads.
#include <gtest/gtest.h>
#include <sched.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/processors.h"

namespace reattend {
namespace {

namespace fs = std::filesystem;

/// A folder that stands for the root of the file system.
class FakeRoot {
 public:
  FakeRoot()
      : path_(fs::path(testing::TempDir()) / "reattend_processors" /
              testing::UnitTest::GetInstance()->current_test_info()->name()) {
    fs::remove_all(path_);
  }
  ~FakeRoot() { fs::remove_all(path_); }
  void write(const std::string& file, const std::string& text) const {
    fs::create_directories((path_ / file).parent_path());
    std::ofstream(path_ / file) << text;
  }
  double quota() const { return processors(path_).quota; }

 private:
  fs::path path_;
};

constexpr const char* kMountV2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

TEST(Processors, ReadsTheQuotaOfTheGroupAndOfThoseAboveIt) {
  const FakeRoot root;
  EXPECT_EQ(root.quota(), INFINITY) << "no control groups at all";
  root.write("proc/self/mountinfo", kMountV2);
  root.write("proc/self/cgroup", "0::/pod/job\n");
  root.write("sys/fs/cgroup/pod/job/cpu.max", "max 100000\n");
  EXPECT_EQ(root.quota(), INFINITY);
  root.write("sys/fs/cgroup/pod/cpu.max", "150000 100000\n");
  EXPECT_EQ(root.quota(), 1.5) << "a group's limit holds for those below it";
  root.write("sys/fs/cgroup/pod/job/cpu.max", "50000 100000\n");
  EXPECT_EQ(root.quota(), 0.5);
}

TEST(Processors, ReadsTheQuotaFromWithinAContainer) {
  const FakeRoot root;
  root.write("proc/self/mountinfo", kMountV2);
  root.write("proc/self/cgroup", "0::/../..\n");  // outside of what this name space shows
  root.write("sys/fs/cgroup/cpu.max", "200000 100000\n");
  EXPECT_EQ(root.quota(), 2);
}

TEST(Processors, ReadsTheQuotaOfTheFirstVersion) {
  const FakeRoot root;
  // Docker mounts the container's own group at the usual place; cpuset is another controller.
  root.write("proc/self/mountinfo",
             "31 23 0:27 /docker/1f /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n"
             "32 23 0:28 /docker/1f /sys/fs/cgroup/cpuset ro - cgroup cgroup rw,cpuset\n");
  root.write("proc/self/cgroup", "9:cpuset:/docker/1f\n4:cpu,cpuacct:/docker/1f\n");
  root.write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  root.write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(root.quota(), INFINITY);
  root.write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "250000\n");
  EXPECT_EQ(root.quota(), 2.5);
}

TEST(Processors, WhatCannotBeReadLimitsNothing) {
  const FakeRoot root;
  root.write("proc/self/mountinfo", std::string("nonsense\n - \n") + kMountV2);
  root.write("proc/self/cgroup", "\n:\n0::/a\n");
  for (const char* text : {"", "lots 100000", "100000", "-5 100000", "100000 0", "max"}) {
    root.write("sys/fs/cgroup/a/cpu.max", text);
    EXPECT_EQ(root.quota(), INFINITY) << text;
  }
}

TEST(Processors, ThreadsAreHeldAgainstMaskAndQuota) {
  EXPECT_EQ((Processors{.affinity = 8}.usable()), 8);
  EXPECT_EQ((Processors{.affinity = 8, .quota = 1.5}.usable()), 2);
  EXPECT_EQ((Processors{.affinity = 8, .quota = 0.2}.usable()), 1);
  EXPECT_EQ((Processors{.affinity = 2, .quota = 64}.usable()), 2);
  EXPECT_EQ(too_many_threads(2, {.affinity = 8, .quota = 1.5}), "");
  EXPECT_EQ(
      too_many_threads(3, {.affinity = 8, .quota = 1.5}),
      "--threads 3 is more than can run at once here: 2 (CPU affinity 8, a CPU quota of 1.5); --threads 0 takes 2");
  EXPECT_EQ(too_many_threads(64, {.affinity = 2}),
            "--threads 64 is more than can run at once here: 2 (CPU affinity 2); --threads 0 takes 2");
}

// `taskset` and the schedulers of clusters set the mask; some C libraries count processors past it.
TEST(Processors, MindsTheAffinityMask) {
  std::thread([] {
    cpu_set_t mask;
    ASSERT_EQ(sched_getaffinity(0, sizeof mask, &mask), 0);
    for (int cpu = 0, kept = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &mask) && kept++ > 0) CPU_CLR(cpu, &mask);
    }
    ASSERT_EQ(sched_setaffinity(0, sizeof mask, &mask), 0);
    EXPECT_EQ(processors().affinity, 1);
  }).join();
}

}  // namespace
}  // namespace reattend
