// Numbers and texts in JSON: what JSON has no word for is null, bytes that are no UTF-8 are replaced.
#pragma once
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

namespace reattend {

/// Null for NaN, infinities and nothing.
nlohmann::json json_number(double x);
nlohmann::json json_number(const std::optional<double>& x);

/// On one line, or indented by `indent`.
std::string json_text(const nlohmann::json& json, int indent = -1);
std::string json_text(const nlohmann::ordered_json& json, int indent = -1);

}  // namespace reattend
