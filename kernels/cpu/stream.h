// The read bandwidth of this machine: what decoding is measured against.
#pragma once
#include "base/thread_pool.h"

namespace reattend::cpu {

/// Gigabytes (10^9) a second that the pool's threads read from memory, pass after pass over a buffer far larger than
/// the caches. On a shared machine the best pass is what the memory can do, the median what it did.
struct StreamRate {
  double best = 0, median = 0;
};
/// As many passes as fit `seconds`, at least two.
StreamRate stream_gbps(ThreadPool& pool, double seconds);

}  // namespace reattend::cpu
