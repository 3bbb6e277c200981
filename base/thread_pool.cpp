// The workers of the pool: they take tasks from a counter, join an open region if they come in time, and are not waited
// for if late. No more of them are kept awake than there are processors; who waits long for another thread sleeps.
#include "base/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/processors.h"

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
  int n_worker = 0;
  int n_at_once = 1;     ///< threads that find a processor
  int n_awake_most = 0;  ///< workers that are kept awake: one for each processor but the caller's, at least one
  // Lines of their own: a spinning worker reads the numbers above, and each region writes the task.
  alignas(64) const std::function<void(int64_t, int)>* task = nullptr;
  int64_t n_task = 0;
  std::atomic<int64_t> next{0};
  alignas(64) std::atomic<uint64_t> gate{0};
  std::atomic<int> sleepers{0};  ///< written under the mutex; who wakes a worker takes it off
  int called = 0;                ///< sleepers that were called and have not woken up yet
  std::atomic<bool> stop{false}, caller_sleeps{false};
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

  int n_awake(std::memory_order order) const { return n_worker - sleepers.load(order); }

  /// Spins where a processor is free for it, then sleeps. Eight threads that spun on two processors kept off them
  /// the one that all others waited for, for whole time slices: decoding was 25 times slower.
  void wait(uint64_t seen) {
    for (int spin = 0; spin < kSpins && n_awake(std::memory_order_relaxed) <= n_awake_most; ++spin) {
      if (calls(seen, std::memory_order_relaxed)) return;
      relax();
    }
    // Sequential consistency orders this against open(): either open() sees a sleeper or the sleeper the open gate.
    std::unique_lock lock(mutex);
    sleepers.fetch_add(1, std::memory_order_seq_cst);
    if (calls(seen, std::memory_order_seq_cst)) {
      sleepers.fetch_sub(1, std::memory_order_relaxed);
      return;
    }
    wake.wait(lock, [&] { return called > 0; });
    --called;
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
        // The caller sleeps on the gate when the last one inside takes long. Either it sees the gate's new value or
        // this sees that it sleeps.
        const bool last = ((gate.fetch_sub(1, std::memory_order_seq_cst) - 1) & (kInside | kOpen)) == 0;
        if (last && caller_sleeps.load(std::memory_order_seq_cst)) gate.notify_one();
        break;
      }
    }
  }

  /// Calls sleepers until n workers are awake. They count as awake from now on: one that the system does not run for
  /// a while would otherwise have the next region call another in its place.
  void keep_awake(int n) {
    if (n_awake(std::memory_order_seq_cst) >= n) return;
    int n_called = 0;
    {
      const std::lock_guard lock(mutex);
      n_called = std::min(n - n_awake(std::memory_order_relaxed), sleepers.load(std::memory_order_relaxed));
      if (n_called <= 0) return;
      sleepers.fetch_sub(n_called, std::memory_order_relaxed);
      called += n_called;
    }
    for (int i = 0; i < n_called; ++i) wake.notify_one();
  }

  /// Waits for the workers that are inside the closed region to finish their tasks.
  void wait_for_inside(uint64_t now) {
    for (int spin = 0; (now & kInside) != 0; ++spin) {
      if (spin < 4 * kSpins) {
        relax();
      } else {
        caller_sleeps.store(true, std::memory_order_seq_cst);
        gate.wait(now, std::memory_order_seq_cst);
        caller_sleeps.store(false, std::memory_order_relaxed);
      }
      now = gate.load(std::memory_order_acquire);
    }
  }
};

ThreadPool::ThreadPool(int n_thread) : state_(std::make_unique<State>()) {
  // A pool of one, such as a task of another pool makes, need not ask the system: that reads several files.
  const int n_processor = n_thread == 1 ? 1 : processors().usable();
  if (n_thread <= 0) n_thread = n_processor;
  state_->n_at_once = std::min(n_thread, n_processor);
  state_->n_awake_most = std::max(1, state_->n_at_once - 1);
  state_->n_worker = n_thread - 1;
  for (int i = 1; i < n_thread; ++i) state_->workers.emplace_back([this, i] { state_->loop(i); });
}

ThreadPool::~ThreadPool() {
  state_->stop.store(true, std::memory_order_seq_cst);
  state_->keep_awake(state_->n_worker);
  for (std::thread& worker : state_->workers) worker.join();
}

int ThreadPool::n_thread() const {
  return state_->n_worker + 1;
}

int ThreadPool::n_at_once() const {
  return state_->n_at_once;
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
  state.keep_awake(static_cast<int>(std::min<int64_t>(state.n_awake_most, n_task - 1)));
  state.work(0);
  // All tasks are taken: close the gate, and wait for those inside to finish theirs. A worker that the system has not
  // run yet finds the gate closed; on a shared machine waiting for it would cost a time slice.
  state.wait_for_inside(state.gate.fetch_and(~kOpen, std::memory_order_acquire));
  if (state.error) std::rethrow_exception(std::exchange(state.error, nullptr));
}

}  // namespace reattend
