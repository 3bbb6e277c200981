// Workers wait for a region by spinning a little and then sleeping on a condition variable; tasks are taken from a counter.
#include "base/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace reattend {
namespace {

/// Decoding opens a region every few tens of microseconds: long enough to bridge those, short enough to leave the
/// core to others when nothing is decoded (about 50 us).
constexpr int kSpins = 2000;

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

}  // namespace

struct ThreadPool::State {
  std::vector<std::thread> workers;
  const std::function<void(int64_t, int)>* task = nullptr;
  int64_t n_task = 0;
  std::atomic<int64_t> next{0};
  std::atomic<int> unfinished{0};
  std::atomic<uint64_t> region{0};  // counts regions; workers wait for it to move
  std::atomic<bool> stop{false};
  std::mutex mutex;
  std::condition_variable wake;
  std::exception_ptr error;

  void work(int thread) {
    for (int64_t i = next.fetch_add(1, std::memory_order_relaxed); i < n_task;
         i = next.fetch_add(1, std::memory_order_relaxed)) {
      try {
        (*task)(i, thread);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!error) error = std::current_exception();
        next.store(n_task, std::memory_order_relaxed);
      }
    }
  }

  void loop(int thread) {
    for (uint64_t seen = 0;;) {
      for (int spin = 0; spin < kSpins && region.load(std::memory_order_acquire) == seen; ++spin) relax();
      if (region.load(std::memory_order_acquire) == seen) {
        std::unique_lock lock(mutex);
        wake.wait(lock, [&] { return region.load(std::memory_order_acquire) != seen; });
      }
      if (stop.load(std::memory_order_acquire)) return;
      seen = region.load(std::memory_order_acquire);
      work(thread);
      unfinished.fetch_sub(1, std::memory_order_release);
    }
  }

  void open_region() {
    {
      const std::lock_guard lock(mutex);  // so that no worker misses the change between its check and its sleep
      region.fetch_add(1, std::memory_order_release);
    }
    wake.notify_all();
  }
};

ThreadPool::ThreadPool(int n_thread) : state_(std::make_unique<State>()) {
  if (n_thread <= 0) n_thread = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  for (int i = 1; i < n_thread; ++i) state_->workers.emplace_back([this, i] { state_->loop(i); });
}

ThreadPool::~ThreadPool() {
  state_->stop.store(true, std::memory_order_release);
  state_->open_region();
  for (std::thread& worker : state_->workers) worker.join();
}

int ThreadPool::n_thread() const { return static_cast<int>(state_->workers.size()) + 1; }

void ThreadPool::run(int64_t n_task, const std::function<void(int64_t, int)>& task) {
  if (n_task <= 0) return;
  if (n_task == 1 || state_->workers.empty()) {
    for (int64_t i = 0; i < n_task; ++i) task(i, 0);
    return;
  }
  state_->task = &task;
  state_->n_task = n_task;
  state_->next.store(0, std::memory_order_relaxed);
  state_->unfinished.store(static_cast<int>(state_->workers.size()), std::memory_order_relaxed);
  state_->open_region();
  state_->work(0);
  // A worker that the system has not scheduled must not be spun against for long on a shared machine.
  for (int spin = 0; state_->unfinished.load(std::memory_order_acquire) != 0; ++spin) {
    if (spin < 4 * kSpins) {
      relax();
    } else {
      std::this_thread::yield();
    }
  }
  if (state_->error) std::rethrow_exception(std::exchange(state_->error, nullptr));
}

}  // namespace reattend
