// The clock of a decode step: it stands while observers look, and says what a policy's own work took.
#pragma once
#include <chrono>

#include "engine/observer.h"

namespace reattend {

/// Times what lies between start() and stop().
class StepTimer {
 public:
  explicit StepTimer(const ObserverList& observers)
      : observed_(!observers.empty()), times_choices_(observers.times_choices()) {}

  void start() { running_since_ = Clock::now(); }
  void stop() { seconds_ += since(running_since_); }

  /// Runs `look` while the clock stands; nothing at all where nobody observes.
  template <class Look>
  void observe(Look&& look) {
    if (!observed_) return;
    stop();
    look();
    start();
  }
  /// Runs a part of the step that counts as the policy's own work.
  template <class Choose>
  void choose(Choose&& choose) {
    const Clock::time_point begin = times_choices_ ? Clock::now() : Clock::time_point();
    choose();
    if (times_choices_) choosing_seconds_ += since(begin);
  }

  double seconds() const { return seconds_; }
  double choosing_seconds() const { return choosing_seconds_; }

 private:
  using Clock = std::chrono::steady_clock;
  static double since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

  bool observed_, times_choices_;
  Clock::time_point running_since_;
  double seconds_ = 0, choosing_seconds_ = 0;
};

}  // namespace reattend
