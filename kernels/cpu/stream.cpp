// Measures the read bandwidth by sums over a buffer of 256 MB, pass after pass.
#include "kernels/cpu/stream.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <vector>

#include "base/page_memory.h"
#include "base/statistics.h"
#include "kernels/cpu/aligned.h"

namespace reattend::cpu {
namespace {

constexpr int64_t kWords = (256 << 20) / sizeof(uint64_t);
/// Words of a task: long enough for the prefetchers, short enough to share out evenly.
constexpr int64_t kTaskWords = (2 << 20) / sizeof(uint64_t);
/// Independent sums, enough to keep several loads under way.
constexpr int kSums = 16;

uint64_t sum_of(const uint64_t* words) {
  uint64_t sums[kSums] = {};
  for (int64_t i = 0; i < kTaskWords; i += kSums) {
    for (int j = 0; j < kSums; ++j) sums[j] += words[i + j];
  }
  uint64_t total = 0;
  for (const uint64_t sum : sums) total += sum;
  return total;
}

}  // namespace

ReadRate stream_gbps(ThreadPool& pool, double seconds) {
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  PageMemory pages;  // huge ones, as weights and caches have
  Aligned<uint64_t> words(&pages);
  words.reserve(kWords);
  constexpr int64_t kTasks = kWords / kTaskWords;
  pool.run(kTasks, [&](int64_t task, int) { std::fill_n(words.get() + task * kTaskWords, kTaskWords, uint64_t{1}); });
  std::atomic<uint64_t> total{0};  // used, so that no pass can be left out
  std::vector<double> rates;
  const Clock::time_point start = Clock::now();
  for (int pass = 0; pass < 2 || since(start) < seconds; ++pass) {
    const Clock::time_point begin = Clock::now();
    pool.run(kTasks, [&](int64_t task, int) {
      total.fetch_add(sum_of(words.get() + task * kTaskWords), std::memory_order_relaxed);
    });
    rates.push_back(static_cast<double>(kWords) * sizeof(uint64_t) / since(begin) * 1e-9);
  }
  if (total.load() == 0) return {};
  return {.best = *std::max_element(rates.begin(), rates.end()), .median = median(rates)};
}

}  // namespace reattend::cpu
