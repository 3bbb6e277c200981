// JSON as text, whatever bytes its strings hold: names of files need not be UTF-8.
#pragma once
#include <string>

#include <nlohmann/json_fwd.hpp>

namespace reattend {

/// On one line, or indented by `indent`; bytes that are no UTF-8, for which dump() alone throws, become U+FFFD.
std::string json_text(const nlohmann::json& json, int indent = -1);
std::string json_text(const nlohmann::ordered_json& json, int indent = -1);

}  // namespace reattend
