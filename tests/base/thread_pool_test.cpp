// The pool runs every task once, whatever the number of threads, and survives what tasks do to it.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <ctime>
#include <stdexcept>
#include <thread>
#include <vector>

#include "base/processors.h"
#include "base/thread_pool.h"

namespace reattend {
namespace {

// A task that is lost or run twice corrupts results silently. Regions follow each other as they do in decoding.
TEST(ThreadPool, RunsEveryTaskOnceInEveryRegion) {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.n_thread(), threads);
    std::vector<int> times(300);
    std::atomic<bool> thread_out_of_range{false};
    for (int region = 0; region < 2000; ++region) {
      const int64_t n = region % 300;
      pool.run(n, [&](int64_t i, int thread) {
        ++times[static_cast<size_t>(i)];
        if (thread < 0 || thread >= threads) thread_out_of_range = true;
      });
      for (int64_t i = 0; i < n; ++i) ASSERT_EQ(times[static_cast<size_t>(i)], 1);
      std::fill(times.begin(), times.end(), 0);
    }
    EXPECT_FALSE(thread_out_of_range);
  }
}

// Scratch memory is picked by thread number: two tasks must never run under the same one at once.
TEST(ThreadPool, NoTwoTasksShareAThreadNumber) {
  ThreadPool pool(4);
  std::vector<std::atomic<int>> busy(4);
  std::atomic<bool> shared{false};
  for (int region = 0; region < 500; ++region) {
    pool.run(32, [&](int64_t, int thread) {
      if (busy[static_cast<size_t>(thread)].fetch_add(1) != 0) shared = true;
      busy[static_cast<size_t>(thread)].fetch_sub(1);
    });
  }
  EXPECT_FALSE(shared);
}

// Workers that have gone to sleep must be woken by the next region.
TEST(ThreadPool, WakesSleepingWorkers) {
  ThreadPool pool(2);
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    std::atomic<int> inside{0};
    // Both tasks wait for each other: one thread alone would never finish them.
    pool.run(2, [&](int64_t, int) {
      ++inside;
      while (inside != 2) std::this_thread::yield();
    });
    EXPECT_EQ(inside, 2);
  }
}

// Threads beyond the processors must sleep: spinning, they keep the one off that all others wait for.
TEST(ThreadPool, ThreadsBeyondTheProcessorsUseNoTime) {
  const auto cpu_seconds = [] {
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
  };
  const auto cost_of_regions = [&](int threads) {
    ThreadPool pool(threads);
    const double start = cpu_seconds();
    for (int region = 0; region < 300; ++region) {
      pool.run(64, [](int64_t, int) {
        std::atomic<int> busy{0};
        for (int i = 0; i < 2000; ++i) busy.store(i, std::memory_order_relaxed);
      });
    }
    return cpu_seconds() - start;
  };
  const double enough = cost_of_regions(processors().usable());
  // 62 spinning threads took a hundred times as much.
  EXPECT_LT(cost_of_regions(processors().usable() + 62), 5 * enough + 0.05);
}

// Tasks that end at very different times: the caller sleeps until the last worker wakes it, in every region.
TEST(ThreadPool, WaitsForSlowWorkers) {
  ThreadPool pool(4);
  for (int region = 0; region < 20; ++region) {
    std::atomic<int> done{0};
    pool.run(4, [&](int64_t i, int) {
      std::this_thread::sleep_for(std::chrono::milliseconds(i));
      ++done;
    });
    ASSERT_EQ(done, 4);
  }
}

TEST(ThreadPool, RethrowsTheFirstErrorAndGoesOn) {
  ThreadPool pool(3);
  for (int round = 0; round < 50; ++round) {
    EXPECT_THROW(pool.run(100,
                          [](int64_t i, int) {
                            if (i == 40) throw std::runtime_error("task 40");
                          }),
                 std::runtime_error);
    std::atomic<int> done{0};
    pool.run(100, [&](int64_t, int) { ++done; });
    EXPECT_EQ(done, 100);
  }
}

}  // namespace
}  // namespace reattend
