// Held-out traces: the recommended setting on texts that it was not tuned on, and how it differs there.
#pragma once
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "replay/replay.h"
#include "tune/candidate.h"

namespace reattend {

struct TuneOptions;

/// The choice on a trace that had no part in it; costs are nan where they are in ms and it has no calibration.
struct HeldOutTrace : TunedTrace {
  Metrics metrics;
};

/// Replays the choice on a trace that it was not tuned on, and measures it there unless `measure` is empty. Without a
/// calibration times are predicted with the trace's own, if those it was tuned on had some. Throws Error (usage) for a
/// trace of another model, or without the values that settings are ranked by.
void hold_out(TuneResult& result, Replayer& trace, const std::optional<Calibration>& calibration,
              const std::function<Score(const Settings&)>& measure, const ProgressFn& progress, const Cancel& cancel);
/// Throws Error (usage) for a trace to hold out of another model, or without the values that settings are ranked, or
/// bound, by; to be asked before the sweep.
void check_held_out(const TraceInfo& held, std::span<const TraceInfo* const> tuned_on,  // [n_trace]
                    const TuneOptions& options);

/// What a setting gives on a held-out trace beside what it was chosen for: measured KL where there is one on both
/// sides, otherwise the predicted one, or the estimate where no KL is predicted.
struct Gap {
  std::string of;       ///< "measured KL", "predicted KL", or the estimate's name
  double there = 0;     ///< on the held-out trace
  double to_tuned = 0;  ///< ratio to the worst of those tuned on; nan where that is 0 or not known
  double to_bound = 0;  ///< ratio to the bound on KL; nan for an estimate
};
Gap gap_of(const HeldOutTrace& held, const TuneResult& result);
/// Whether the choice keeps the bounds there, as measured or else as predicted; nothing where that is not known.
std::optional<bool> keeps_bounds(const HeldOutTrace& held, const TuneResult& result);

}  // namespace reattend
