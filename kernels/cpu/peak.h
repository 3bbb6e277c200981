// The arithmetic peak of this machine: what prefill is measured against.
#pragma once
#include "base/thread_pool.h"

namespace reattend::cpu {

/// Multiply-adds a second (10^9) of all the pool's threads on registers alone, with the instructions that the target in
/// use has for them.
struct Peak {
  double f32_gmacs = 0, int8_gmacs = 0;
};
/// The best of as many passes as fit `seconds` for each of the two (at least two).
Peak peak_gmacs(ThreadPool& pool, double seconds);

}  // namespace reattend::cpu
