// Time of a step, robust on a shared machine.
#pragma once
#include <cstdint>
#include <map>
#include <vector>

#include "engine/observer.h"

namespace reattend {

/// Steps are told apart by how many heads refresh at them and at the one before (what follows a refresh packs), and
/// each kind counts with its median, so neither a hiccup nor the rhythm of refreshes distorts the mean. May watch
/// several runs.
class StepClock final : public Observer {
 public:
  struct Options {
    int32_t n_skip = 0;    ///< first steps of each run that are not counted
    bool choices = false;  ///< what gates and choices take is timed, too
  };
  StepClock() = default;
  explicit StepClock(const Options& options) : options_(options) {}

  bool times_choices() const override { return options_.choices; }
  void begin(SequenceView& sequence, const StepView& step) override;
  void step_end(const StepView& step) override;

  /// Heads that refreshed, of all layers and KV heads.
  struct Kind {
    int64_t n_full, n_full_before;
    auto operator<=>(const Kind&) const = default;
  };
  struct Times {
    std::vector<double> ms, choosing_ms;  ///< of each step; the second is part of the first
  };
  const std::map<Kind, Times>& kinds() const { return kinds_; }
  /// Of a step; 0 before the first.
  double ms_per_token() const { return mean(&Times::ms); }
  double choosing_ms() const { return mean(&Times::choosing_ms); }

 private:
  double mean(std::vector<double> Times::*of) const;

  Options options_;
  std::map<Kind, Times> kinds_;
  int64_t before_ = 0;
};

}  // namespace reattend
