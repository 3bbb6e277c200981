// Adds schedules by layer to a sweep: many evenly between the cheapest and full attention, then some around the bounds.
#pragma once
#include "tune/sweep.h"
#include "tune/tune.h"

namespace reattend {

/// Of each policy that is swept: replays the menu on all layers, walks schedule_path and adds the menu and at most
/// n_schedule of the path's schedules as points. Two thirds of them are evenly spread up to the cost of full attention,
/// the others lie where the path enters the bounds. Nothing for traces without values: what a layer spoils is the error
/// of its output; and for policies of which nothing may differ by layer.
void add_schedules(Sweep& sweep, const TuneOptions& options, TuneResult& result);

}  // namespace reattend
