// What a decode step costs on this machine, in parts that a replay can add up for any setting.
#pragma once
#include <array>
#include <vector>

#include "engine/generate.h"
#include "traces/calibration.h"

namespace reattend {

/// Short continuations of a prompt under policies that differ in one part each (no attention to speak of, little, full,
/// copied sets, ranking, copying, scoring, adding up, pages, sets in place, sketches). All are run in each round, so a
/// slow moment of a shared machine falls on all of them; what a part costs is the median over rounds of differences
/// within a round. Rounds may be run between other measurements, which then see the same machine.
class Calibrator {
 public:
  static constexpr int32_t kFewestSteps = 3;
  /// Of a prompt; differences between parts of a shorter one's attention are noise, so that there weights and plain
  /// reading alone are measured, and a prediction takes all of attention at that rate.
  static constexpr int32_t kFewestTokens = 512;
  /// All of it must outlive this. Needs room for `n_step` more positions in the context; fewer than kFewestSteps tell
  /// nothing.
  Calibrator(Backend& backend, const Model& model, const Prefilled& prefilled, ThreadPool& pool, int32_t n_step);
  /// Throws Cancelled when `cancel` is raised.
  void round(const Cancel& cancel);
  /// Of the rounds so far, at least one.
  Calibration result() const;

 private:
  enum Part : size_t {
    kNothing,
    kLittle,
    kFull,
    kCopied,
    kRank,
    kCopy,
    kScore,
    kSum,
    kPages,
    kPlace,
    kSketch,
    kChannels,
    kParts
  };
  struct Times {
    std::vector<double> full, partial;  ///< of each round, ms: median over its full steps, and its partial ones
  };
  Settings settings_of(Part part) const;
  int32_t sketch_channels(bool many) const;
  double median_of(const std::vector<double>& with, const std::vector<double>& without) const;

  Backend& backend_;
  const Model& model_;
  const Prefilled& prefilled_;
  ThreadPool& pool_;
  int32_t n_step_;
  bool whole_;          ///< whether there are tokens enough for all parts
  int32_t many_, few_;  ///< budgets: of sets whose length counts, and of those where it hardly does; whole pages
  std::array<Times, kParts> times_;
};

/// As many rounds as fit in three seconds, at least three and at most twelve.
Calibration calibrate(Backend& backend, const Model& model, const Prefilled& prefilled, ThreadPool& pool,
                      int32_t n_step, const ProgressFn& progress, const Cancel& cancel);

}  // namespace reattend
