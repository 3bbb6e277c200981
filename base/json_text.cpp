// Writes JSON as text with replacements for bytes that are no UTF-8.
#include "base/json_text.h"

#include <nlohmann/json.hpp>

namespace reattend {
namespace {

constexpr auto kReplace = nlohmann::json::error_handler_t::replace;

}  // namespace

std::string json_text(const nlohmann::json& json, int indent) {
  return json.dump(indent, ' ', false, kReplace);
}

std::string json_text(const nlohmann::ordered_json& json, int indent) {
  return json.dump(indent, ' ', false, kReplace);
}

}  // namespace reattend
