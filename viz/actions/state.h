// What the window shows and has found out, as JSON for scripts and sockets.
#pragma once
#include <nlohmann/json.hpp>

#include "viz/actions/workbench.h"

namespace reattend::viz {

/// A trace or a settings file is on its way; what is set meanwhile is undone when it is there.
bool is_opening(const Workbench& bench);
/// The setting's own numbers are there, or none will come: the trace is open and replayed, and judged where it can be.
/// Maps of other settings may still be filled.
bool has_answered(const Workbench& bench);
/// Nothing is being opened or computed, maps of other settings included.
bool has_settled(const Workbench& bench);

/// Trace, setting, selection, goal, bounds, baseline, project, tasks and view. What is not known is null; of the goal
/// `why` says why.
nlohmann::json state_of(const Workbench& bench);

}  // namespace reattend::viz
