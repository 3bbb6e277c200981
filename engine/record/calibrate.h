// What a decode step costs on this machine, in parts that a replay can add up for any setting.
#pragma once
#include "engine/generate.h"
#include "traces/read/reader.h"

namespace reattend {

/// Runs short continuations of `prefilled` under policies that isolate a part each (almost no attention, full, kept
/// sets, full with selection), in turns so that a slow moment of a shared machine falls on all, and takes medians:
/// about two seconds. Needs room for `n_step` >= 3 more positions in the context. Throws Cancelled when `cancel` is
/// raised.
Calibration calibrate(Backend& backend, const Model& model, const Prefilled& prefilled, ThreadPool& pool,
                      int32_t n_step, const ProgressFn& progress, const Cancel& cancel);

}  // namespace reattend
