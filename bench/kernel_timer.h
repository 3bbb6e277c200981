// Repeats one kernel after another, each with its data out of the caches.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "bench/kernel_times.h"

namespace reattend {

class KernelTimer {
 public:
  KernelTimer(ThreadPool& pool, const KernelOptions& options, int n_expected)
      : pool_(pool), options_(options), n_expected_(n_expected), others_(kEvictBytes / sizeof(uint64_t), 1) {}

  /// Adds a row; `bytes` and `macs` are those of one run. Throws Cancelled.
  void add(const std::string& name, double bytes, double macs, const std::function<void()>& run);
  std::vector<KernelTime> finish();

 private:
  /// What is read between repeats, to leave nothing of a kernel's data in the caches: in a step others have been there.
  static constexpr size_t kEvictBytes = size_t{128} << 20;
  void evict();

  ThreadPool& pool_;
  const KernelOptions& options_;
  int n_expected_;
  std::vector<uint64_t> others_;
  std::atomic<uint64_t> used_{0};  ///< so that no reading can be left out
  std::vector<KernelTime> rows_;
};

/// n normal values.
std::vector<float> some_floats(int64_t n, uint64_t seed);

void time_weights(KernelTimer& timer, ThreadPool& pool, const Model& model, const KernelOptions& options);
void time_attention(KernelTimer& timer, ThreadPool& pool, const ModelShape& shape, const KernelOptions& options);

}  // namespace reattend
