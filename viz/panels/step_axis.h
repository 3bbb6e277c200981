// The axis of steps, one for all panes: its limits and ticks, the range marked on it, and what a step says of itself
// under the mouse.
#pragma once
#include <string>
#include <vector>

#include <implot.h>

#include "viz/session/session.h"
#include "viz/session/shared_view.h"

namespace reattend::viz {

/// Which way steps go in a plot.
enum class StepsGo : uint8_t { across, down };

/// All steps of a trace.
Limits all_steps(const TraceInfo& info);

/// Before the plot's first item. `room`: pixels that the axis has.
void set_up_step_axis(const TraceInfo& info, SharedView& view, StepsGo way, const char* title, ImPlotAxisFlags flags,
                      float room);

/// Within a plot: the marked range, and a veil over the steps that playing has not come to.
void draw_step_marks(const Session& session, const SharedView& view, StepsGo way);

/// Within a plot: a drag with Ctrl marks a range of steps.
void mark_range(const TraceInfo& info, SharedView& view, StepsGo way);

/// Within a plot: a click selects the step under the mouse, a double click shows all of them.
void select_step_by_click(Session& session, SharedView& view);

/// "step 7: full, 812 positions, ..." of the selected layer and head; empty where there is no such step.
std::string describe_step(const Session& session, int32_t step);
/// The step under the mouse in a tooltip, and `more` below it.
void show_step_under_mouse(const Session& session, const std::string& more = {});

/// Starts playing, from the first step where the last is selected, or stops.
void toggle_play(Session& session, SharedView& view);
/// Once a frame: the selected step goes on as `seconds` go by.
void play_on(Session& session, SharedView& view, double seconds);

/// One curve over the steps: head `head` of n_head in array [T][n_head].
void plot_over_steps(const char* label, const std::vector<float>& array, int32_t n_head, int32_t head, ImVec4 color);

}  // namespace reattend::viz
