// Which of the finished points is taken, by prediction or by measuring, and the words that say why.
#pragma once
#include "tune/tune.h"

namespace reattend {

/// Sets `chosen` and `reason`, and what was measured on the way. Points must be finished (finish_points).
void choose(TuneResult& result, const TuneOptions& options, const MeasureFn& measure, const ProgressFn& progress,
            const Cancel& cancel);

}  // namespace reattend
