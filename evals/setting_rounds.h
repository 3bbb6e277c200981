// Settings timed beside each other along one reference: the engine's side of Rounds.
#pragma once
#include <deque>

#include "base/rounds.h"
#include "engine/record/calibrate.h"
#include "evals/teacher_forced.h"

namespace reattend {

/// Every setting runs once in each round, from a fork of one prompt, with nothing measured but time. What is passed by
/// reference must outlive this.
class SettingRounds {
 public:
  SettingRounds(Backend& backend, const Model& model, const Prefilled& prefilled, const ReferenceRun& full)
      : backend_(backend), model_(model), prefilled_(prefilled), full_(full) {}
  SettingRounds(const SettingRounds&) = delete;
  SettingRounds& operator=(const SettingRounds&) = delete;

  /// Settings count from 0 in the order of adding.
  void add(const Settings& settings);
  /// A round of the calibrator, between the settings added before and those added after.
  void add(Calibrator& calibrator);
  /// As Rounds::run(). `what` is said with the progress of all runs.
  void run(int32_t n_round, const std::string& what, const ProgressFn& progress, const Cancel& cancel,
           const std::function<void()>& round_done = {});
  /// Per token, over all runs of setting i so far; nan before the first.
  double ms(size_t i) const;

 private:
  Backend& backend_;
  const Model& model_;
  const Prefilled& prefilled_;
  const ReferenceRun& full_;
  Cancel cancel_;
  Rounds rounds_;
  std::deque<StepClock> clocks_;  ///< of each setting; they stay where they are
};

}  // namespace reattend
