// Five numbers under their names.
#include "traces/tune/calibration_file.h"

#include <cmath>
#include <fstream>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "traces/tune/cost.h"

namespace reattend {
namespace {

struct Field {
  const char* name;
  double Calibration::*value;
};
constexpr Field kFields[] = {{"weights_ms", &Calibration::weights_ms},
                             {"stream_gbps", &Calibration::stream_gbps},
                             {"attend_stream_gbps", &Calibration::attend_stream_gbps},
                             {"attend_gather_gbps", &Calibration::attend_gather_gbps},
                             {"score_gbps", &Calibration::score_gbps}};

}  // namespace

nlohmann::json to_json(const Calibration& calibration) {
  nlohmann::json out = nlohmann::json::object();
  for (const Field& each : kFields) out[each.name] = calibration.*each.value;
  return out;
}

Calibration read_calibration(const std::filesystem::path& path) {
  const auto refuse = [&](const std::string& got) {
    fail({.where = "--calibration " + path.string(),
          .expected = "a file that `reattend calibrate --out` wrote",
          .got = got,
          .remedy = {}});
  };
  std::error_code ignored;
  std::ifstream in(path, std::ios::binary);
  if (!in || std::filesystem::is_directory(path, ignored)) refuse(in ? "a folder" : "none that can be read");
  const nlohmann::json json = nlohmann::json::parse(in, nullptr, false);
  Calibration out;
  try {
    for (const Field& each : kFields) {
      out.*each.value = json.at("calibration").at(each.name).get<double>();
      if (!std::isfinite(out.*each.value) || out.*each.value < 0) refuse("a rate below 0");
    }
  } catch (const nlohmann::json::exception& error) {
    refuse(error.what());
  }
  if (!is_calibrated(out)) refuse("rates that were not measured");
  return out;
}

}  // namespace reattend
