// What a tuner measures: a setting's divergence once, its time as often as asked, so that it can be asked in rounds.
#pragma once
#include <vector>

#include "evals/teacher_forced.h"

namespace reattend {

/// Teacher-forced runs on one prompt. What is passed by reference must outlive this.
class SettingScorer {
 public:
  SettingScorer(Backend& backend, const Model& model, const Prefilled& prefilled, const ReferenceRun& full)
      : backend_(backend), model_(model), prefilled_(prefilled), full_(full) {}

  /// Scores a setting when it is first asked for, without mass, and times it; later calls add a round of timing, and
  /// `ms` is over all of them. Throws Cancelled.
  Score measure(const Settings& settings, const ProgressFn& progress, const Cancel& cancel);

 private:
  struct Entry {
    Settings settings;
    Score score;
    StepClock clock;
  };
  Backend& backend_;
  const Model& model_;
  const Prefilled& prefilled_;
  const ReferenceRun& full_;
  std::vector<Entry> entries_;
};

}  // namespace reattend
