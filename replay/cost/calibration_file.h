// A machine's calibration as a file of its own, for predicting on this machine what was recorded on another.
#pragma once
#include <filesystem>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "traces/read/reader.h"

namespace reattend {

nlohmann::json to_json(const Calibration& calibration);
/// Throws Error naming `where`, which `reattend calibrate --out` or a study wrote, for numbers that are missing or
/// that no machine has (range_of()).
Calibration calibration_from_json(const nlohmann::json& json, const std::string& where);

/// What `reattend calibrate --out` wrote. Texts are empty and threads 0 where the file does not say.
struct CalibrationFile {
  Calibration calibration;
  std::string model, model_sha256, kv, device;  ///< what was calibrated
  int64_t threads = 0;
};
/// Throws Error naming the file.
CalibrationFile read_calibration(const std::filesystem::path& path);
/// Throws Error naming `where` for numbers of another model or type of cache than the trace's: a step's weights and
/// rows are theirs. What file or trace do not say is not held against the other.
void check_fits(const CalibrationFile& file, const TraceInfo& info, const std::string& where);

}  // namespace reattend
