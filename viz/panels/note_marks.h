// Notes as marks in the plots that they are about.
#pragma once
#include <string>

#include "viz/session/project_file.h"
#include "viz/session/session.h"
#include "viz/session/shared_view.h"

namespace reattend::viz {

/// "step 40", "steps 40–52, position 812".
std::string place_of(const Note& note);

/// In the current plot, whose x axis has the steps: a flag at the lower edge of each note's steps, with its text under
/// the mouse.
void mark_notes_over_steps(const Session& session, const SharedView& view);
/// In the current plot, positions across and steps downwards: a frame around the cells of each note of this layer.
void mark_notes_over_cells(const Session& session, const SharedView& view);

}  // namespace reattend::viz
