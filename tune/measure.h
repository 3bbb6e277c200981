// Settings measured beside full attention, in rounds, so that a busy moment of the machine meets all of them alike.
#pragma once
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/rounds.h"
#include "tune/tune.h"

namespace reattend {

/// Parallel to `settings`, which have `names`; with full attention's time in the same rounds. Without `timed` each is
/// run once, and times are nan. Throws Cancelled.
std::vector<Score> measure_in_rounds(std::span<const Settings> settings, std::span<const std::string> names, bool timed,
                                     const std::function<Score(const Settings&)>& measure, const Rounds::TellFn& tell,
                                     const Cancel& cancel);

}  // namespace reattend
