// Workers join an open region if they come in time; whoever is late is not waited for. Tasks are taken from a counter.
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

/// The gate's word: the region's number, whether workers may still join, and how many are inside.
constexpr uint64_t kInside = (uint64_t{1} << 16) - 1, kOpen = uint64_t{1} << 16;
constexpr int kNumberShift = 17;

}  // namespace

struct ThreadPool::State {
  std::vector<std::thread> workers;
  const std::function<void(int64_t, int)>* task = nullptr;
  int64_t n_task = 0;
  alignas(64) std::atomic<int64_t> next{0};
  alignas(64) std::atomic<uint64_t> gate{0};
  std::atomic<int> sleepers{0};
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

  /// Whether there is a region that a worker which last saw region `seen` should look at.
  bool calls(uint64_t seen, std::memory_order order) const {
    const uint64_t now = gate.load(order);
    return ((now & kOpen) != 0 && now >> kNumberShift != seen) || stop.load(order);
  }

  void wait(uint64_t seen) {
    for (int spin = 0; spin < kSpins; ++spin) {
      if (calls(seen, std::memory_order_relaxed)) return;
      relax();
    }
    // Sequential consistency orders this against open(): either open() sees a sleeper or the sleeper the open gate.
    std::unique_lock lock(mutex);
    sleepers.fetch_add(1, std::memory_order_seq_cst);
    wake.wait(lock, [&] { return calls(seen, std::memory_order_seq_cst); });
    sleepers.fetch_sub(1, std::memory_order_relaxed);
  }

  void loop(int thread) {
    for (uint64_t seen = 0;;) {
      wait(seen);
      if (stop.load(std::memory_order_relaxed)) return;
      uint64_t now = gate.load(std::memory_order_relaxed);
      while ((now & kOpen) != 0 && now >> kNumberShift != seen) {
        if (!gate.compare_exchange_weak(now, now + 1, std::memory_order_acquire, std::memory_order_relaxed)) continue;
        seen = now >> kNumberShift;
        work(thread);
        gate.fetch_sub(1, std::memory_order_release);
        break;
      }
    }
  }

  void wake_sleepers() {
    if (sleepers.load(std::memory_order_seq_cst) == 0) return;
    { const std::lock_guard lock(mutex); }  // a worker between its check and its sleep holds it
    wake.notify_all();
  }
};

ThreadPool::ThreadPool(int n_thread) : state_(std::make_unique<State>()) {
  if (n_thread <= 0) n_thread = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  for (int i = 1; i < n_thread; ++i) state_->workers.emplace_back([this, i] { state_->loop(i); });
}

ThreadPool::~ThreadPool() {
  state_->stop.store(true, std::memory_order_seq_cst);
  state_->wake_sleepers();
  for (std::thread& worker : state_->workers) worker.join();
}

int ThreadPool::n_thread() const {
  return static_cast<int>(state_->workers.size()) + 1;
}

void ThreadPool::run(int64_t n_task, const std::function<void(int64_t, int)>& task) {
  if (n_task <= 0) return;
  if (n_task == 1 || state_->workers.empty()) {
    for (int64_t i = 0; i < n_task; ++i) task(i, 0);
    return;
  }
  State& state = *state_;
  state.task = &task;
  state.n_task = n_task;
  state.next.store(0, std::memory_order_relaxed);
  const uint64_t number = (state.gate.load(std::memory_order_relaxed) >> kNumberShift) + 1;
  state.gate.store(number << kNumberShift | kOpen, std::memory_order_seq_cst);
  state.wake_sleepers();
  state.work(0);
  // All tasks are taken: close the gate, and wait for those inside to finish theirs. A worker that the system has not
  // run yet finds the gate closed; on a shared machine waiting for it would cost a time slice.
  uint64_t now = state.gate.fetch_and(~kOpen, std::memory_order_acquire);
  for (int spin = 0; (now & kInside) != 0; ++spin) {
    if (spin < 4 * kSpins) {
      relax();
    } else {
      std::this_thread::yield();
    }
    now = state.gate.load(std::memory_order_acquire);
  }
  if (state.error) std::rethrow_exception(std::exchange(state.error, nullptr));
}

}  // namespace reattend
