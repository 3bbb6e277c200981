// Numbers under their names; those that an older program did not know may be absent.
#include "traces/tune/calibration_file.h"

#include <cmath>
#include <fstream>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "traces/tune/cost.h"

namespace reattend {

nlohmann::json to_json(const Calibration& calibration) {
  nlohmann::json out = nlohmann::json::object();
  for (const CalibrationField& each : kCalibrationFields) {
    const double value = calibration.*each.value;
    if (value != each.otherwise || each.since_1_0) out[each.name] = value;
  }
  return out;
}

Calibration calibration_from_json(const nlohmann::json& json, const std::string& where) {
  const auto refuse = [&](const std::string& got) {
    fail({.where = where, .expected = "a calibration", .got = got, .remedy = {}});
  };
  Calibration out;
  try {
    for (const CalibrationField& each : kCalibrationFields) {
      if (!each.since_1_0 && !json.contains(each.name)) continue;
      out.*each.value = json.at(each.name).get<double>();
      if (!std::isfinite(out.*each.value) || out.*each.value < 0) refuse(std::string(each.name) + " below 0");
    }
  } catch (const nlohmann::json::exception& error) {
    refuse(error.what());
  }
  if (!is_calibrated(out)) refuse("rates that were not measured");
  return out;
}

Calibration read_calibration(const std::filesystem::path& path) {
  const std::string where = "--calibration " + path.string();
  const auto refuse = [&](const std::string& got) {
    fail({.where = where, .expected = "a file that `reattend calibrate --out` wrote", .got = got, .remedy = {}});
  };
  std::error_code ignored;
  std::ifstream in(path, std::ios::binary);
  if (!in || std::filesystem::is_directory(path, ignored)) refuse(in ? "a folder" : "none that can be read");
  const nlohmann::json json = nlohmann::json::parse(in, nullptr, false);
  if (!json.is_object() || !json.contains("calibration")) refuse("another file");
  return calibration_from_json(json["calibration"], where);
}

}  // namespace reattend
