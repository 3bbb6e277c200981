// What `reattend tune` is given beside its options: traces, verified settings, and the machine to predict times for.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "cli/options/calibration_option.h"
#include "tune/tune.h"

namespace reattend::cli {

using Traces = std::vector<std::shared_ptr<TraceReader>>;

/// Those tuned on and behind them those held out. Throws Error (usage) for traces of different models, a text that is
/// given twice, and a held-out text that begins as one tuned on and adds nothing, or the other way round: a slice of
/// it, say.
Traces open_traces(const std::vector<std::string>& tuned_on, const std::vector<std::string>& held_out);

/// What `reattend verify` found. KL counts on every trace; times only where they were found on one of `tuned_on` (or
/// the file does not say on which), and not at all without `times`. Throws Error (usage) for another model's.
std::vector<VerifiedSetting> read_verified(const std::vector<std::string>& files,
                                           std::span<const std::shared_ptr<TraceReader>> tuned_on,  // [n_tuned]
                                           bool times);

/// Which machine times are predicted for.
struct TuneTimes {
  std::vector<Calibration> calibrations;  ///< of the machine that was asked for, one for each trace; empty: their own
  bool datasheet = false;                 ///< known by its data sheet alone: nothing was measured there
  bool other_machine = false;             ///< it is not the one that measures
  std::string text;
  nlohmann::json json;  ///< what holds for all traces; where there are several, each one's under "traces"
};
/// A data sheet is another machine's. A file is taken as this machine's unless it names another device or number of
/// threads. `traces` has `n_tuned` that are tuned on first.
TuneTimes tune_times(const CalibrationOption& option, const Traces& traces, size_t n_tuned, const std::string& device,
                     int n_thread);

}  // namespace reattend::cli
