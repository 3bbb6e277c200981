// Progress and cancellation: what long work reports to whoever started it, and how it is stopped.
#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <string>

namespace reattend {

/// Thrown by work that noticed its cancellation; callers that asked for it catch it.
struct Cancelled {};

/// A flag that one side raises and long work looks at. Copies share the flag.
class Cancel {
 public:
  Cancel() : flag_(std::make_shared<std::atomic<bool>>(false)) {}
  void raise() const { flag_->store(true, std::memory_order_relaxed); }
  bool raised() const { return flag_->load(std::memory_order_relaxed); }
  /// Throws Cancelled once the flag is up.
  void check() const {
    if (raised()) throw Cancelled{};
  }

 private:
  std::shared_ptr<std::atomic<bool>> flag_;
};

/// The process-wide flag that SIGINT and SIGTERM raise; a second signal ends the process at once.
Cancel cancel_on_signals();

/// What long work calls: `what` is being done, `done` of `total` units (total 0: unknown), unit a plural noun.
using ProgressFn = std::function<void(const std::string& what, double done, double total, const std::string& unit)>;

enum class ProgressStyle { automatic, terminal, json, off };

/// A reporter on stderr: one line that renews itself with rate and time left on a terminal, one line of JSON per
/// report (at most ten a second) with `json`, nothing for `automatic` when stderr is not a terminal.
ProgressFn make_progress(ProgressStyle style);

}  // namespace reattend
