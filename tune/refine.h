// Adds schedules by layer to a sweep: many evenly between the cheapest and full attention, then some around the bounds.
#pragma once
#include "tune/sweep.h"
#include "tune/tune.h"

namespace reattend {

/// What a layer may get: every budget of the grid with every stride on the fixed schedule, and with every stride and
/// threshold on the query schedule. Where the grid leaves them open: L/2 to L/64 (a layer that hardly matters takes
/// less than a whole model would) with strides 4, 16 and 64, and with stride 4 and thresholds 0.7, 0.8 and 0.9.
std::vector<Settings> schedule_menu(const TuneGrid& grid);

/// Replays the menu on all layers, walks schedule_path and adds the menu and at most n_schedule of the path's schedules
/// as points. Two thirds of them are evenly spread up to the cost of full attention, the others lie where the path
/// enters the bounds. Nothing for traces without values: what a layer spoils is the error of its output.
void add_schedules(Sweep& sweep, const TuneOptions& options, TuneResult& result);

}  // namespace reattend
