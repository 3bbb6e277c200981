// What `reattend calibrate` found, and the GPUs that times can be had for by their data sheets.
#pragma once
#include "report/table.h"
#include "traces/calibration.h"

namespace reattend::cli {

/// A row for each part of a step; `there`: a trace's numbers beside this machine's, or none.
Table calibration_table(const Calibration& here, const Calibration* there);
Table gpus_table();

}  // namespace reattend::cli
