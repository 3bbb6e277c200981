// Settings measured in turns with full attention, so that a busy moment of the machine meets all of them alike.
#pragma once
#include <functional>
#include <span>
#include <vector>

#include "tune/tune.h"

namespace reattend {

/// Parallel to `settings`, with full attention's time in the same rounds; `tell` hears which setting is next and how
/// many runs of how many are done. Without `timed` each is run once, and times are nan. Throws Cancelled.
std::vector<Measured> measure_in_turns(std::span<const Settings> settings,  // [n_setting]
                                       bool timed, const std::function<Measured(const Settings&)>& measure,
                                       const std::function<void(const Settings&, size_t done, size_t of)>& tell,
                                       const Cancel& cancel);

}  // namespace reattend
