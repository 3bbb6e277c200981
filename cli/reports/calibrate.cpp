// Shows a machine's calibration beside a trace's, and the GPUs of the data sheets.
#include "cli/reports/calibrate.h"

#include <limits>

#include <fmt/format.h>

#include "replay/cost/known_gpus.h"

namespace reattend::cli {

Table calibration_table(const Calibration& here, const Calibration* there) {
  Table out = {.columns = {{.key = {}, .title = "part of a step", .left = true},
                           {.key = "here", .digits = 2},
                           {.key = {}, .title = "in trace", .digits = 2},
                           {.key = {}, .title = "off", .digits = 0, .scale = 100, .unit = " %", .sign = true}}};
  if (there == nullptr) out.columns.resize(2);
  // Where the others of its kind were measured, 0 ms is what attention of any length takes; traces before 1.2 lack it.
  const auto value = [](const Calibration& of, const CalibrationField& field) {
    const bool known =
        of.*field.value != field.otherwise || (field.value == &Calibration::attend_ms && of.rank_ns >= 0);
    return known ? of.*field.value : std::numeric_limits<double>::quiet_NaN();
  };
  for (const CalibrationField& field : kCalibrationFields) {
    const double mine = value(here, field);
    std::vector<Cell>& row =
        out.rows.emplace_back(std::vector<Cell>{fmt::format("{}, {}", field.what, field.unit), mine});
    if (there == nullptr) continue;
    const double theirs = value(*there, field);
    row.push_back(theirs), row.push_back(mine > 0 && theirs > 0 ? Cell(mine / theirs - 1) : Cell());
  }
  return out;
}

Table gpus_table() {
  Table out = {.name = "gpus",
               .columns = {{.key = "name", .title = "GPU", .left = true},
                           {.key = "gbps", .title = "GB/s", .digits = 0},
                           {.key = "memory_gb", .title = "memory GB", .digits = 0}}};
  for (const KnownGpu& gpu : known_gpus()) out.rows.push_back({std::string(gpu.name), gpu.gbps, gpu.memory_gb});
  return out;
}

}  // namespace reattend::cli
