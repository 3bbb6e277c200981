// The front end's source for real traces.
#pragma once
#include "viz/session/view_source.h"

namespace reattend::viz {

/// Opens a trace file with TraceReader and replays it with Replayer on n_thread threads (0: all usable processors).
OpenSource trace_source(int n_thread = 0);

}  // namespace reattend::viz
