// What a pane shows while its numbers are not there yet.
#pragma once
#include "viz/session/session.h"

namespace reattend::viz {

/// Says so where the trace has no decode steps, of which most panes have something to show.
bool lacks_steps(const Session& session);
/// `what` comes, and how far its making has got.
void draw_waiting(const Session& session, const char* what);

}  // namespace reattend::viz
