// The menu of a panel's title: what can be done with its picture, numbers and curves.
#pragma once
#include <optional>

#include "viz/actions/actions.h"
#include "viz/actions/workbench.h"

namespace reattend::viz {

/// Right after ImGui::Begin() of the panel's window; what was chosen. Files are named after trace and panel and lie
/// beside the trace; none is replaced.
std::optional<Call> draw_panel_menu(const Actions& actions, const Workbench& bench, const Panel& panel);

}  // namespace reattend::viz
