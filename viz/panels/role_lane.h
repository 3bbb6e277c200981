// What the selected layer does at each step, as bands of colour: full, choosing anew, partial; beside it the
// baseline's.
#pragma once
#include <cstdint>
#include <string>

#include "viz/session/session.h"
#include "viz/session/shared_view.h"

namespace reattend::viz {

/// Fills the current plot, whose x axis has the steps and whose y axis goes down from 0 to 1: a row a KV head. With a
/// baseline whose layers are like these the upper half is its, the lower the trial's; a second trace has its own steps.
void draw_role_lane(const Session& session, const SharedView& view);

/// "\nbaseline: full, 0.0213 less recovered": of the step of the selected layer and head; of a second trace with other
/// steps "\nother.h5 at its step 12: full, recovered 0.9876". Empty without a baseline.
std::string step_beside_baseline(const Session& session, int32_t step);
/// Why the step under the mouse is full or partial, in the current plot with the steps across; empty where that is not
/// known.
std::string reason_under_mouse(const Session& session);
/// "full", "chooses anew" or "partial".
const char* role_name(StepRole role);

}  // namespace reattend::viz
