// The attention map of a layer that the model itself confines to its last positions: which it attends to is known,
// though no weights are recorded.
#pragma once
#include <string>

#include "viz/session/session.h"
#include "viz/session/shared_view.h"

namespace reattend::viz {

/// In the current plot, positions across and steps downwards: what the window holds in blue, what lies outside it
/// striped, and in words why there are no weights.
void draw_window_cells(const TraceInfo& info, int32_t layer, const SharedView& view);
/// Of a cell of that map.
std::string describe_window_cell(const Session& session, int32_t layer, Cell cell);

}  // namespace reattend::viz
