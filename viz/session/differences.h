// How the setting under trial differs from the baseline, in words and as numbers beside its own.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "viz/session/goal.h"

namespace reattend::viz {

/// "the baseline S=10 K=64", "the baseline other.h5 under S=10 K=64"; empty where there is none.
std::string baseline_name(const Session& session);

/// "KL 0.031 lower, 0.4 ms/token slower than the baseline S=10 K=64", with what cannot be compared and why as help.
/// Empty without a baseline.
GoalText difference_in_words(const Session& session);

/// "0.021 more than under the baseline S=10 K=64 (0.934)"; with `format` for the numbers. Empty where one is not known.
std::string than_baseline(const Session& session, double now, double baseline, const char* format);
/// "+0.021"; empty where one is not known.
std::string signed_difference(double now, double baseline, const char* format);

/// The baseline's means of one layer, or of all; null where they are not known or cannot be held against this trace's.
const ReplaySummary* baseline_layer(const Session& session, int32_t layer);
const ReplaySummary* baseline_total(const Session& session);
/// The baseline's replay of the selected layer, on this trace or on a second one.
struct BaselineLayer {
  const LayerReplay* replay = nullptr;
  const TraceInfo* info = nullptr;  ///< of the trace that it is of
  bool same_steps = true;           ///< as many behind as many tokens, so that step by step they can be compared
  std::string name;                 ///< "baseline", or the second trace's file
};
/// Nothing where it is not known, or layers are not the same.
std::optional<BaselineLayer> baseline_lane(const Session& session);
/// Which positions the baseline attends to in the selected layer and head of this trace; null where it is not known.
std::shared_ptr<const PositionMasks> baseline_masks(const Session& session);
/// Whether the baseline attends to a position in the selected layer and head; nothing where that is not known.
std::optional<bool> baseline_attends(const Session& session, int32_t step, int32_t position);

/// What of the replay on another trace cannot be held against this one's; empty where all can.
std::string not_comparable(const TraceInfo& here, const TraceInfo& there);

}  // namespace reattend::viz
