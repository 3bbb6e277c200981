// A machine's calibration as a file of its own, for predicting on this machine what was recorded on another.
#pragma once
#include <filesystem>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "traces/read/reader.h"

namespace reattend {

nlohmann::json to_json(const Calibration& calibration);
/// Throws Error naming `where`, which `reattend calibrate --out` or a study wrote, for numbers that are missing or
/// below 0.
Calibration calibration_from_json(const nlohmann::json& json, const std::string& where);
/// What `reattend calibrate --out` wrote. Throws Error naming the file.
Calibration read_calibration(const std::filesystem::path& path);

}  // namespace reattend
