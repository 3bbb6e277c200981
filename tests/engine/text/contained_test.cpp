// Code in a child process: what it gives comes back whole, and every way it can end badly is told apart.
#include "engine/text/contained.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <new>
#include <vector>

namespace reattend {
namespace {

using Ended = ContainedResult::Ended;
constexpr ContainedLimits kLimits = {
    .cpu_seconds = 1, .memory_bytes = int64_t{256} << 20, .output_bytes = int64_t{8} << 20};

TEST(Contained, ResultComesBackWhole) {
  const std::string long_text(size_t{5} << 20, 'x');  // more than a pipe holds
  const ContainedResult result = run_contained(kLimits, [&] { return "a" + long_text + std::string(1, '\0'); });
  EXPECT_EQ(result.ended, Ended::well);
  EXPECT_EQ(result.output, "a" + long_text + std::string(1, '\0'));
}

TEST(Contained, NothingHereIsTouched) {
  int n = 1;
  EXPECT_EQ(run_contained(kLimits, [&] { return std::to_string(++n); }).output, "2");
  EXPECT_EQ(n, 1);
}

TEST(Contained, EndlessWorkIsOutOfTime) {
  const ContainedResult result = run_contained(kLimits, [] {
    for (volatile bool on = true; on;) continue;
    return std::string();
  });
  EXPECT_EQ(result.ended, Ended::time);
}

TEST(Contained, GrowingWorkIsOutOfMemory) {
  EXPECT_EQ(run_contained(kLimits,
                          [] {
                            std::vector<std::string> all;
                            for (;;) all.emplace_back(size_t{1} << 20, 'x');
                            return std::string();
                          })
                .ended,
            Ended::memory);
}

TEST(Contained, LongResultIsRefused) {
  EXPECT_EQ(run_contained(kLimits, [] { return std::string(size_t{9} << 20, 'x'); }).ended, Ended::output);
}

// What broke out of the renderer could write to its parent for ever.
TEST(Contained, NoMoreIsReadThanTheLimit) {
  const ContainedResult result = run_contained(kLimits, [] {
    const std::string part(size_t{1} << 16, 'x');
    for (int fd = 3; fd < 64; ++fd) {
      struct stat about {};
      while (fstat(fd, &about) == 0 && S_ISFIFO(about.st_mode) && write(fd, part.data(), part.size()) > 0) continue;
    }
    return std::string();
  });
  EXPECT_EQ(result.ended, Ended::output);
  EXPECT_EQ(result.output, "");
}

TEST(Contained, CrashesAreToldByWhatEndedThem) {
  const auto by = [](int signal_id) {
    return run_contained(kLimits, [=] {
      raise(signal_id);
      return std::string();
    });
  };
  EXPECT_EQ(by(SIGSEGV).ended, Ended::stack);
  EXPECT_EQ(by(SIGABRT).ended, Ended::otherwise);
  const ContainedResult left = run_contained(kLimits, []() -> std::string { _exit(3); });
  EXPECT_EQ(left.ended, Ended::otherwise);
  EXPECT_NE(left.output.find("3"), std::string::npos);
}

}  // namespace
}  // namespace reattend
