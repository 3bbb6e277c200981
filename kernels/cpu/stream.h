// The read bandwidth of this machine: what decoding is measured against.
#pragma once
#include "base/thread_pool.h"

namespace reattend::cpu {

/// Gigabytes (10^9) a second that the pool's threads read from memory: the best pass over a buffer far larger than the
/// caches, of as many as fit `seconds` (at least two).
double stream_gbps(ThreadPool& pool, double seconds);

}  // namespace reattend::cpu
