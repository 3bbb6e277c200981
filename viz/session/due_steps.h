// The steps at which a layer's gate decides, and which thresholds would change one of its decisions.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "replay/replay.h"

namespace reattend::viz {

/// A KV head at a step at which the policy compares queries to decide.
struct DueStep {
  int32_t step = 0, kv_head = 0;
  float similarity = 0;    ///< nan: there is nothing yet to compare with
  bool refreshed = false;  ///< as it was replayed
  float lost = 0;          ///< mass that is not attended to there
};

/// What a gate made of its steps.
struct GateCount {
  int64_t n_due = 0, n_refreshed = 0;
  double apart = 0;  ///< steps of a KV head for each one that is refreshed, whether the gate did it or not
  double share() const { return static_cast<double>(n_refreshed) / static_cast<double>(n_due); }
};

struct DueSteps {
  bool decides = true;  ///< otherwise the schedule refreshes without asking: these are the steps that a gate would see
  std::vector<DueStep> steps;  ///< of all KV heads, by step
  GateCount count;
};
/// Of a replay under these settings, which fit the trace's model.
DueSteps due_steps(const LayerReplay& layer, const Settings& settings, const TraceInfo& info);
/// "refreshes 31 % of due steps → 8.9 steps apart".
std::string in_words(const GateCount& count);

/// Why a layer has no similarities under these settings; empty where it has.
std::string why_no_similarity(const Settings& settings, const TraceInfo& info, int32_t layer);

/// The similarities that occur, ascending, each once: the thresholds at which a decision changes.
std::vector<double> deciding_thresholds(const DueSteps& due);
/// The threshold with the fewest digits, three or more, that decides as `threshold` does, near to it. A step whose
/// similarity equals it stays where `or_equal`.
double rounded_threshold(double threshold, std::span<const double> deciding, bool or_equal);
/// The deciding threshold within `reach` of `threshold` that is nearest, or else `threshold`; rounded.
double snapped_threshold(double threshold, double reach, std::span<const double> deciding, bool or_equal);
/// Whether the policy's gate lets a step stay whose similarity equals the threshold.
bool stays_at_equal(const Settings& settings, const TraceInfo& info, int32_t layer);

}  // namespace reattend::viz
