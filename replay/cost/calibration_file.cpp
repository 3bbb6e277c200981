// Reads and writes a calibration as JSON, a number under each name; those that an older program lacked may be absent.
#include "replay/cost/calibration_file.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "replay/cost/cost.h"

namespace reattend {
namespace {

constexpr size_t kMostBytes = 1 << 20;
constexpr char kExpected[] = "a file that `reattend calibrate --out` wrote";
constexpr char kRemedy[] = "run `reattend calibrate --out`";

std::string text_of(const nlohmann::json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

double number_of(const nlohmann::json& json, const CalibrationField& field, const std::string& where) {
  const auto [least, most] = range_of(field);
  const auto refuse = [&](const std::string& got) {
    fail({.where = where,
          .expected = fmt::format("{} from {} to {} {}", field.name, least, most, field.unit),
          .got = got,
          .remedy = kRemedy});
  };
  const auto found = json.find(field.name);
  if (found == json.end()) refuse("none");
  if (!found->is_number()) refuse(fmt::format("a value of type {}", found->type_name()));
  const auto value = found->get<double>();
  if (!is_plausible(field, value)) refuse(fmt::format("{}", value));
  return value;
}

}  // namespace

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
    fail({.where = where, .expected = "a calibration", .got = got, .remedy = kRemedy});
  };
  if (!json.is_object()) refuse(fmt::format("a value of type {}", json.type_name()));
  Calibration out;
  for (const CalibrationField& each : kCalibrationFields) {
    if (each.since_1_0 || json.contains(each.name)) out.*each.value = number_of(json, each, where);
  }
  if (!is_calibrated(out)) refuse("one without weights_ms or rates");
  return out;
}

CalibrationFile read_calibration(const std::filesystem::path& path) {
  const std::string where = "--calibration " + path.string();
  const auto refuse = [&](const std::string& got) {
    fail({.where = where, .expected = kExpected, .got = got, .remedy = {}});
  };
  const nlohmann::json json = nlohmann::json::parse(
      read_text(path, {.where = where, .expected = kExpected, .got = {}, .remedy = {}}, kMostBytes), nullptr, false);
  if (json.is_discarded()) refuse("a file that is not JSON");
  if (!json.is_object() || !json.contains("calibration")) refuse("JSON without `calibration`");
  const auto threads = json.find("threads");
  return {.calibration = calibration_from_json(json["calibration"], where),
          .model = text_of(json, "model"),
          .model_sha256 = text_of(json, "model_sha256"),
          .kv = text_of(json, "kv"),
          .device = text_of(json, "device"),
          .threads = threads != json.end() && threads->is_number_integer() ? threads->get<int64_t>() : 0};
}

void check_fits(const CalibrationFile& file, const TraceInfo& info, const std::string& where) {
  const std::string model = info.attribute("model_sha256"), kv(name_of(info.kv_type));
  const auto refuse = [&](const std::string& expected, const std::string& got) {
    fail({.where = where,
          .expected = fmt::format("a calibration of {}, as {} has", expected, info.path.string()),
          .got = "one of " + got,
          .remedy = fmt::format("run `reattend calibrate --model {} --kv {} --out` for this trace",
                                info.attribute("model").empty() ? "MODEL" : info.attribute("model"), kv)});
  };
  const auto name = [](const std::string& of, const std::string& sha256) {
    return fmt::format("the model {} (SHA-256 {}...)", of, sha256.substr(0, 12));
  };
  if (!model.empty() && !file.model_sha256.empty() && model != file.model_sha256) {
    refuse(name(info.attribute("model"), model), name(file.model, file.model_sha256));
  }
  if (!file.kv.empty() && file.kv != kv) refuse("a cache of " + kv, file.kv);
}

}  // namespace reattend
