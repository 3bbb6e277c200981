// Replays settings on every trace and says what that means: predicted time, damage, and the rest of a candidate's
// numbers.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "replay/cost/cost.h"
#include "tune/judge.h"
#include "tune/tune.h"

namespace reattend {

/// What was replayed of some settings: [n_trace][n_setting][n_layer]; nothing where that is too much for memory.
using Replayed = std::vector<std::vector<std::vector<LayerReplay>>>;

class Sweep {
 public:
  /// What is passed by reference and the replayers must outlive this; traces must be of one model (check_same_model). A
  /// quarter of the replayers' memory is taken for results.
  /// Without calibrations times are predicted with each trace's own. Costs are in ms where all traces are calibrated,
  /// or as `in_ms` says: then they are nan where one is not.
  Sweep(std::span<Replayer* const> replayers,       // [n_trace]
        Prediction prediction,                      //
        std::span<const Calibration> calibrations,  // [n_trace], or none
        std::optional<bool> in_ms, const ProgressFn& progress, const Cancel& cancel);

  /// Parallel to the replayers, with the calibration that times are predicted with, and what full attention costs.
  const std::vector<TunedTrace>& traces() const { return traces_; }
  double full_cost() const { return full_cost_; }  ///< mean
  bool calibrated() const { return calibrated_; }
  const Prediction& prediction() const { return prediction_; }

  /// All layers, and some that are evenly spread.
  std::vector<int32_t> all_layers() const;
  std::vector<int32_t> screen_layers(int n) const;

  /// A candidate for each setting, in order. Trace after trace and layer by layer in each, so that every layer is
  /// prepared once for as many settings as memory holds the results of.
  std::vector<Candidate> evaluate(std::span<const Settings> settings,  // [n_setting]
                                  const std::vector<int32_t>& layers, const std::string& what,
                                  Replayed* keep = nullptr);
  /// The candidate of a setting that gives layer l what item picks[l] gives it: nothing is replayed again, unless the
  /// menu's results were too much for memory.
  Candidate mix(const Settings& settings, const Replayed& menu, const LayerPicks& picks);

 private:
  using Batch = std::span<const Settings>;  // [n]
  std::vector<std::vector<LayerReplay>> replay(size_t trace, Batch settings, const std::vector<int32_t>& layers,
                                               const std::function<void()>& step);
  int64_t result_bytes(size_t n_setting, size_t n_layer) const;
  CostUnit unit() const { return calibrated_ ? CostUnit::ms : CostUnit::megabytes; }
  Metrics metrics_of(size_t trace, std::span<const LayerReplay> layers) const;  // [those evaluated]

  std::vector<Replayer*> replayers_;
  std::vector<TunedTrace> traces_;
  const ProgressFn& progress_;
  const Cancel& cancel_;
  Prediction prediction_;
  bool calibrated_ = false;
  double full_cost_ = 0;
  int64_t result_memory_ = 0;  ///< bytes
};

}  // namespace reattend
