// What tells traces apart whatever their files are called.
#pragma once
#include <string>

#include "traces/read/reader.h"

namespace reattend {

/// Hex digest of the trace's tokens and its model.
std::string fingerprint(TraceReader& trace);

}  // namespace reattend
