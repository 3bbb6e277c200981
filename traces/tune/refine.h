// Adds schedules by layer to a sweep: many evenly between the cheapest and full attention, then some around the bounds.
#pragma once
#include "traces/tune/sweep.h"
#include "traces/tune/tune.h"

namespace reattend {

/// What a layer may get: every budget with every stride of the grid on the fixed schedule, or where the grid leaves
/// them open, L/2 to L/64 with strides 4, 16 and 64 (a layer that hardly matters takes less than a whole model would).
std::vector<Settings> schedule_menu(const TuneGrid& grid);

/// Replays the menu on all layers, walks schedule_path and adds at most n_schedule of its schedules as points, like any
/// other setting. Nothing for traces without values: what a layer spoils is the error of its output.
void add_schedules(Sweep& sweep, const TuneOptions& options, TuneResult& result);

}  // namespace reattend
