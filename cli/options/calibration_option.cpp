// Takes times from another machine's measurement, or from a GPU's data sheet, and says so wherever they show.
#include "cli/options/calibration_option.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/statistics.h"
#include "cli/options/old_names.h"
#include "replay/cost/calibration_file.h"
#include "replay/cost/cost.h"
#include "replay/cost/known_gpus.h"

namespace reattend::cli {
namespace {

/// Read by one step, as the run that was recorded counted it.
double weight_bytes(TraceReader& trace) {
  std::vector<double> bytes;
  for (const int64_t each : trace.steps().bytes_weights) bytes.push_back(static_cast<double>(each));
  const double out = median(std::move(bytes));
  if (out > 0) return out;
  fail({.where = "--datasheet: " + trace.info().path.string(),
        .expected = "a trace whose steps say how many bytes of weights they read",
        .got = trace.info().n_step > 0 ? "steps that say none" : "no steps",
        .remedy = "record at least one step"});
}

TimeSource datasheet_source(const KnownGpu& gpu, TraceReader& trace) {
  const TraceInfo& info = trace.info();
  const double weights = weight_bytes(trace);
  const double positions = static_cast<double>(info.n_prompt) + info.n_step;
  const double cache = attend_bytes(info, {.run = positions * info.n_layer * info.n_kv_head});
  const bool fits = weights + cache <= gpu.memory_gb * 1e9;
  std::string text = fmt::format(
      "from the data sheet of {}: {:.0f} GB/s, {:.0f} % of it; nothing was measured, launches and choosing are left "
      "out: real steps take longer",
      gpu.name, gpu.gbps, 100 * kDatasheetShare);
  if (!fits) text += fmt::format("; weights and cache do not fit into its {:.0f} GB", gpu.memory_gb);
  return {.calibration = from_datasheet(gpu, info, weights),
          .text = text,
          .json = {{"source", "datasheet"},
                   {"measured", false},
                   {"gpu", gpu.name},
                   {"gbps", gpu.gbps},
                   {"share", kDatasheetShare},
                   {"weight_bytes", weights},
                   {"fits", fits},
                   {"text", text}}};
}

/// Says on what the rates were found where that is not what the trace was recorded on.
TimeSource file_source(const std::string& path, const TraceInfo& info) {
  const CalibrationFile file = read_calibration(path);
  check_fits(file, info, "--calibration " + path);
  std::string text = fmt::format("from {}, measured by `reattend calibrate`", path);
  if (file.model_sha256.empty()) text += " for a model that it does not name";
  const std::string device = info.attribute("device"), threads = info.attribute("threads");
  const bool other = (!file.device.empty() && !device.empty() && file.device != device) ||
                     (file.threads > 0 && !threads.empty() && std::to_string(file.threads) != threads);
  if (other) {
    text += fmt::format(" on {} with {} threads; the trace was recorded on {} with {}", file.device, file.threads,
                        device, threads);
  }
  return {.calibration = file.calibration,
          .text = text,
          .json = {{"source", "file"},
                   {"measured", true},
                   {"file", path},
                   {"model", file.model},
                   {"device", file.device},
                   {"threads", file.threads},
                   {"text", text}}};
}

}  // namespace

void CalibrationOption::add_to(CLI::App& app) {
  CLI::Option* const other =
      app.add_option("--calibration", file,
                     "What `reattend calibrate --out` found: times are predicted for that machine [the trace's]")
          ->type_name("FILE");
  CLI::Option* const datasheet =
      app.add_option(
             "--datasheet", gpu,
             "Times by a GPU's data sheet (`reattend calibrate --list`): nothing is measured, real steps take longer")
          ->type_name("GPU")
          ->excludes(other);
  add_old_name(app, *datasheet, "--on-paper");
}

void CalibrationOption::check() const {
  if (!gpu.empty()) known_gpu(gpu, "--datasheet");
}

TimeSource CalibrationOption::source(TraceReader& trace) const {
  if (!gpu.empty()) return datasheet_source(known_gpu(gpu, "--datasheet"), trace);
  if (!file.empty()) return file_source(file, trace.info());
  const Calibration& own = trace.info().calibration;
  const char* const text = is_calibrated(own) ? "from the calibration in the trace, of the machine that recorded it"
                                              : "none: the trace has no calibration";
  return {.calibration = own,
          .text = text,
          .json = {{"source", "trace"}, {"measured", is_calibrated(own)}, {"text", text}}};
}

}  // namespace reattend::cli
