// The read bandwidth of this machine: what decoding is measured against.
#pragma once
#include "base/thread_pool.h"
#include "kernels/types.h"

namespace reattend::cpu {

/// By the pool's threads. As many passes as fit `seconds`, at least two.
ReadRate stream_gbps(ThreadPool& pool, double seconds);

}  // namespace reattend::cpu
