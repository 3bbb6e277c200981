// Numbers in JSON, where what is not finite is null; base/json_text.h writes them.
#pragma once
#include <optional>

#include <nlohmann/json.hpp>

#include "base/json_text.h"  // IWYU pragma: export

namespace reattend {

/// Null for NaN, infinities and nothing.
nlohmann::json json_number(double x);
nlohmann::json json_number(const std::optional<double>& x);

}  // namespace reattend
