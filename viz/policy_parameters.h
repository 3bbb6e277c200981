// Which rows of the parameter table a policy takes.
#pragma once
#include <algorithm>
#include <string_view>

#include "base/settings.h"

namespace reattend::viz {

inline bool takes(std::string_view policy, const Parameter& parameter) {
  return std::find(parameter.policies.begin(), parameter.policies.end(), policy) != parameter.policies.end();
}

/// The threshold that gates refreshes, if the setting's policy has one.
inline const Parameter* gate_of(const Settings& settings) {
  const Parameter* threshold = find_parameter("threshold");
  return threshold != nullptr && takes(settings.policy(), *threshold) ? threshold : nullptr;
}

}  // namespace reattend::viz
