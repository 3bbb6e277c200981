// What JSON has no word for: numbers that are not finite, bytes that are no UTF-8.
#include "report/json.h"

#include <cmath>

namespace reattend {
namespace {

constexpr auto kReplace = nlohmann::json::error_handler_t::replace;

}  // namespace

nlohmann::json json_number(double x) {
  return std::isfinite(x) ? nlohmann::json(x) : nlohmann::json(nullptr);
}

nlohmann::json json_number(const std::optional<double>& x) {
  return x ? json_number(*x) : nlohmann::json(nullptr);
}

std::string json_text(const nlohmann::json& json, int indent) {
  return json.dump(indent, ' ', false, kReplace);
}

std::string json_text(const nlohmann::ordered_json& json, int indent) {
  return json.dump(indent, ' ', false, kReplace);
}

}  // namespace reattend
