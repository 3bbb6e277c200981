// What a made-up recording of n_step steps must read as.
#pragma once
#include <cstdint>

#include "traces/read/reader.h"

namespace reattend::synthetic {

/// Fails the running test where anything the reader gives differs from what write_prompt() and step() put in.
void expect_trace(TraceReader& trace, int32_t n_step);

}  // namespace reattend::synthetic
