// Which rows of the parameter table a policy takes.
#pragma once
#include "policies/settings.h"

namespace reattend::viz {

/// The threshold that gates refreshes, if the setting's policy has one.
inline const Parameter* gate_of(const Settings& settings) {
  const Parameter* threshold = find_parameter("threshold");
  return threshold->taken_by(settings.policy()) ? threshold : nullptr;
}

}  // namespace reattend::viz
