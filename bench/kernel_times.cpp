// Times the kernels of a step: the timer, and the list of what is timed.
#include "bench/kernel_times.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <utility>

#include "base/statistics.h"
#include "bench/kernel_timer.h"
#include "kernels/cpu/random_rows.h"

namespace reattend {

void KernelTimer::add(const std::string& name, double bytes, double macs, const std::function<void()>& run) {
  using Clock = std::chrono::steady_clock;
  options_.cancel.check();
  if (options_.progress) options_.progress("kernels", static_cast<double>(rows_.size()), n_expected_, "kernels");
  const auto since = [](Clock::time_point from) { return std::chrono::duration<double>(Clock::now() - from).count(); };
  std::vector<double> times;
  run();
  const auto start = Clock::now();
  while (times.size() < 3 || since(start) < options_.seconds) {
    options_.cancel.check();
    if (bytes > 0) evict();
    const auto begin = Clock::now();
    run();
    times.push_back(since(begin));
  }
  rows_.push_back({.name = name, .seconds = median(times), .bytes = bytes, .macs = macs});
}

std::vector<KernelTime> KernelTimer::finish() {
  if (options_.progress) options_.progress("kernels", n_expected_, n_expected_, "kernels");
  return std::move(rows_);
}

void KernelTimer::evict() {
  constexpr int64_t kTasks = 64;
  const auto n = static_cast<std::ptrdiff_t>(others_.size() / kTasks);
  pool_.run(kTasks, [&](int64_t task, int) {
    const auto begin = others_.begin() + task * n;
    used_.fetch_add(std::accumulate(begin, begin + n, uint64_t{0}), std::memory_order_relaxed);
  });
}

std::vector<float> some_floats(int64_t n, uint64_t seed) {
  std::vector<float> out(static_cast<size_t>(n));
  random_rows(KvType::f32, static_cast<int32_t>(n), 1, seed, std::as_writable_bytes(std::span(out)));
  return out;
}

std::vector<KernelTime> time_kernels(ThreadPool& pool, const Model& model, const KernelOptions& options) {
  constexpr int kOthers = 15;
  KernelTimer timer(pool, options, kOthers + static_cast<int>(tensor_formats().size()));
  time_weights(timer, pool, model, options);
  time_attention(timer, pool, model.shape(), options);
  std::atomic<int> sum{0};
  constexpr int kRegions = 1000;
  timer.add("1000 parallel regions of 4 empty tasks", 0, 0, [&] {
    for (int i = 0; i < kRegions; ++i) {
      pool.run(4, [&](int64_t, int) { sum.fetch_add(1, std::memory_order_relaxed); });
    }
  });
  return timer.finish();
}

}  // namespace reattend
