// Settings measured beside full attention, in rounds, so that a busy moment of the machine meets all of them alike.
#pragma once
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/rounds.h"
#include "policies/settings.h"
#include "tune/score.h"

namespace reattend {

/// What an engine finds of a setting, teacher-forced on the recorded tokens of one of the traces; full attention's time
/// need not be in it. Full attention and the settings of a trace are asked for in kMeasureRounds rounds before the next
/// trace's: a machine's moods then meet all of them alike, and times are over all rounds so far.
using MeasureFn = std::function<Score(const Settings&, size_t trace)>;

inline constexpr int kMeasureRounds = 3;
/// Times that differ by less are alike: among them the lower KL wins.
inline constexpr double kTimeNoise = 0.03;

/// Parallel to `settings`, which have `names`; with full attention's time in the same rounds. Without `timed` each is
/// run once, and times are nan. Throws Cancelled.
std::vector<Score> measure_in_rounds(std::span<const Settings> settings, std::span<const std::string> names, bool timed,
                                     const std::function<Score(const Settings&)>& measure, const Rounds::TellFn& tell,
                                     const Cancel& cancel);

}  // namespace reattend
