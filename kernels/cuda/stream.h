// The queue that kernels are launched into, opaque: a cudaStream_t, or in tests the fiber machine.
#pragma once

namespace reattend::cuda {

struct StreamHandle;
using Stream = StreamHandle*;

}  // namespace reattend::cuda
