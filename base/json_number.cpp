// Turns numbers into JSON: those that are not finite into null.
#include "base/json_number.h"

#include <cmath>

namespace reattend {

nlohmann::json json_number(double x) {
  return std::isfinite(x) ? nlohmann::json(x) : nlohmann::json(nullptr);
}

nlohmann::json json_number(const std::optional<double>& x) {
  return x ? json_number(*x) : nlohmann::json(nullptr);
}

}  // namespace reattend
