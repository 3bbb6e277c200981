// What a setting's replayed layers say of it on one trace: what a step costs, how much it harms.
#pragma once
#include <span>
#include <vector>

#include "replay/replay.h"
#include "tune/candidate.h"
#include "tune/prediction.h"

namespace reattend {

/// A cost is in ms per token, nan where there is no calibration, or in MB per token.
enum class CostUnit : uint8_t { ms, megabytes };

/// The trace with what full attention costs on it.
TunedTrace tuned_trace(const TraceInfo& info, const Prediction& prediction, CostUnit unit);

/// What is replayed of a setting so that it can be judged.
ReplayRequest request_to_judge(const Prediction& prediction, const Settings& settings, std::vector<int32_t> layers);

/// Numbers of a setting, from its layers: those on which the policy acts, or some, which are then good for an order but
/// not for a KL.
Metrics judge(const TunedTrace& trace, const Prediction& prediction, CostUnit unit,
              std::span<const LayerReplay> layers);  // [those replayed]
/// The same under what a tuner's result says of one of its traces.
Metrics judge(const TuneResult& tuned, size_t trace, std::span<const LayerReplay> layers);  // [those replayed]

/// Metrics of one trace that were judged under another correction, as they are now that other settings have been
/// verified: to the bit what judge() gives where there had been no correction before.
Metrics judge_again(Metrics metrics, const Correction& before, const TuneResult& now);

}  // namespace reattend
