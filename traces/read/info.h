// What the root attributes of a trace say.
#pragma once
#include <string>

#include "traces/read/reader.h"

namespace reattend {

namespace hdf5 {
class CheckedFile;
}

/// Everything of TraceInfo that stands in attributes. Throws Error for another format, a newer major version, values
/// that can't be.
TraceInfo read_info(const hdf5::CheckedFile& file);

/// Joins sentences of a warning.
void add_warning(std::string& warning, const std::string& more);

}  // namespace reattend
