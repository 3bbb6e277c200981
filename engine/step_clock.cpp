// Keeps the times of each kind of step and weighs the medians by how often the kind occurred.
#include "engine/step_clock.h"

#include <algorithm>
#include <utility>

#include "base/statistics.h"

namespace reattend {

void StepClock::begin(SequenceView&, const StepView& step) {
  before_ = 0;  // the prompt's last token saw everything
  step.for_acting([this](const HeadLog&) { ++before_; });
}

void StepClock::step_end(const StepView& step) {
  const int64_t n_full =
      std::count_if(step.heads.begin(), step.heads.end(), [](const HeadLog& head) { return head.full; });
  const Kind kind = {n_full, std::exchange(before_, n_full)};
  if (step.t <= options_.n_skip) return;
  kinds_[kind].ms.push_back(step.seconds * 1e3);
  kinds_[kind].choosing_ms.push_back(step.choosing_seconds * 1e3);
}

double StepClock::mean(std::vector<double> Times::*of) const {
  double total = 0, n = 0;
  for (const auto& [kind, times] : kinds_) {
    const auto n_step = static_cast<double>((times.*of).size());
    total += median(times.*of) * n_step, n += n_step;
  }
  return n > 0 ? total / n : 0;
}

}  // namespace reattend
