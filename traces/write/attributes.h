// Root attributes of a new trace.
#pragma once
#include "traces/hdf5.h"
#include "traces/write/trace_header.h"

namespace reattend {

/// Writes every attribute of the format to the root of a new file; the header is complete().
void write_attributes(hid_t root, const TraceHeader& header);

}  // namespace reattend
