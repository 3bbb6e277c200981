// Makes a clean copy of a trace whose recording was cut off.
#pragma once
#include <cstdint>
#include <filesystem>

namespace reattend {

/// Copies every object of `source` to a new file that any HDF5 1.10 program opens, cut to the committed steps. `source`
/// is only read. Returns the number of steps. Throws Error (usage) if `target` exists and `force` is not set, Error if
/// the source is no readable trace, is being written, or the copy can't be.
int32_t repair_trace(const std::filesystem::path& source, const std::filesystem::path& target, bool force);

}  // namespace reattend
