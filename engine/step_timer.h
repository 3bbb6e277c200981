// A decode step under the eyes of its observers: the clock stands while they look, and says what a policy's own work
// took.
#pragma once
#include <chrono>
#include <cstdint>
#include <span>

#include "engine/observer.h"

namespace reattend {

/// Tells observers what a step's watch is told, and times what lies between start() and stop() without their looking.
class StepTimer final : public StepWatch {
 public:
  /// plans [n_layer]; everything must outlive it.
  StepTimer(ObserverList& observers, SequenceView& view, int32_t t, std::span<const Plan> plans)
      : observers_(observers), view_(view), t_(t), plans_(plans), times_choices_(observers.times_choices()) {}

  void start() { running_since_ = Clock::now(); }
  void stop() { seconds_ += since(running_since_); }
  double seconds() const { return seconds_; }
  /// Of it in gates and choices; 0 where no observer times_choices().
  double choosing_seconds() const { return choosing_seconds_; }
  /// What a backend is given: nothing where nobody observes.
  StepWatch* watch() { return observers_.empty() ? nullptr : this; }

  void layer_begin(int32_t layer) override {
    observe([&] { observers_.layer_begin(t_, layer, plans_[layer]); });
  }
  void attended(int32_t layer) override {
    observe([&] { observers_.attended(view_.layer(layer)); });
  }
  void layer_end(int32_t layer) override {
    observe([&] { observers_.layer_end(t_, layer); });
  }
  void choosing_begin() override {
    if (times_choices_) choosing_since_ = Clock::now();
  }
  void choosing_end() override {
    if (times_choices_) choosing_seconds_ += since(choosing_since_);
  }

 private:
  using Clock = std::chrono::steady_clock;
  static double since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

  template <class Look>
  void observe(Look&& look) {
    stop();
    look();
    start();
  }

  ObserverList& observers_;
  SequenceView& view_;
  int32_t t_;
  std::span<const Plan> plans_;  ///< [n_layer]
  bool times_choices_;
  Clock::time_point running_since_, choosing_since_;
  double seconds_ = 0, choosing_seconds_ = 0;
};

}  // namespace reattend
