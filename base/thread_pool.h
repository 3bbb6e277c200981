// A persistent pool of threads that share the tasks of one parallel region at a time.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>

namespace reattend {

/// Workers spin briefly between regions, then sleep; no more are kept awake than this process may use processors, so
/// threads beyond them cost next to nothing. Regions don't nest and come from one thread at a time.
class ThreadPool {
 public:
  /// n_thread includes the calling thread; 0 takes the processors that this process may use.
  explicit ThreadPool(int n_thread = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int n_thread() const;
  /// How many of them can run at the same time: work is best shared out among so many.
  int n_at_once() const;

  /// Calls task(i, thread) for every i in [0, n_task), in any order, and returns when all are done. What a task
  /// computes must depend on i alone (results are bit-equal for any n_thread); `thread` picks scratch memory.
  /// The first exception of a task is rethrown here after the region has ended.
  void run(int64_t n_task, const std::function<void(int64_t i, int thread)>& task);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace reattend
