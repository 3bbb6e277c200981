// How much memory the machine has left.
#pragma once
#include <cstdint>

namespace reattend {

/// Bytes that the machine, or the container this runs in, has left; the largest int64_t where neither says.
int64_t free_memory();

}  // namespace reattend
