// A thread that works for one that must not wait, such as the one that draws: the newest task of a kind wins, urgent
// kinds go first, and what they find waits to be taken.
#pragma once
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/progress.h"

namespace reattend {

class BackgroundTasks {
 public:
  /// What a task has of the thread that runs it.
  struct Context {
    Cancel cancel;        ///< raised when nobody waits for this task any more, or a more urgent one does
    ProgressFn progress;  ///< what activity() says
    /// Runs `store` under the lock of locked(), unless a newer task of the kind has been asked for meanwhile.
    std::function<void(const std::function<void()>& store)> deliver;
  };
  using Task = std::function<void(const Context&)>;
  /// What the thread is at.
  struct Activity {
    bool busy = false;  ///< something is running or waiting
    std::string what;   ///< empty while nothing was reported
    double done = 0, total = 0;
  };
  struct Failure {
    int kind = 0;
    std::string message;
  };

  /// Kinds are 0 .. n_kind - 1, the most urgent first. `wake` is called from the thread when there is something new to
  /// look at: a task has ended or delivered, and at most ten times a second its progress.
  BackgroundTasks(int n_kind, std::function<void()> wake);
  /// Cancels what is running and waits for it.
  ~BackgroundTasks();
  BackgroundTasks(const BackgroundTasks&) = delete;
  BackgroundTasks& operator=(const BackgroundTasks&) = delete;

  /// Takes the place of a task of the same kind that waits or runs, and interrupts a less urgent one, which starts
  /// again afterwards. Never waits for a task.
  void post(int kind, Task task);
  /// Forgets a task, of one kind or of all, that waits or runs: it delivers nothing more.
  void drop(int kind);
  void drop_all();

  /// Calls `wake`: something that belongs to none of the tasks is new. From any thread.
  void wake() const { wake_(); }
  /// Whoever takes what was delivered does it in here.
  void locked(const std::function<void()>& look) const;
  /// What tasks threw, but for Cancelled, since the last time.
  std::vector<Failure> take_failures();
  bool has_failures() const;
  Activity activity() const;
  /// Whether the newest task of the kind has not ended yet.
  bool waiting_for(int kind) const;

 private:
  struct Slot {
    std::optional<Task> waiting;
    uint64_t newest = 0;  ///< number of the newest task
  };
  void loop();
  void run(int kind, uint64_t number, const Task& task, const Cancel& cancel);
  void report(const std::string& what, double done, double total);
  void forget(int kind);

  const std::function<void()> wake_;
  std::chrono::steady_clock::time_point reported_;  ///< the thread's own: when it last woke the other for its progress

  mutable std::mutex mutex_;  ///< guards everything below
  std::condition_variable changed_;
  std::vector<Slot> slots_;
  std::optional<int> running_;
  uint64_t number_ = 0;  ///< of what is running
  Cancel cancel_;        ///< its own
  std::vector<Failure> failures_;
  Activity activity_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace reattend
