// From an estimate of the replay to the KL that an engine would measure: a power law, with how far it is off.
#pragma once
#include <cmath>
#include <cstdint>
#include <string_view>

namespace reattend {

/// KL = scale * estimate ^ power.
struct KlCurve {
  double scale = 0, power = 1;
  double spread = 1;  ///< factor that two thirds of the settings are within
  int64_t n = 0;      ///< points it was fitted to; below 3 there is no curve

  bool exists() const { return n >= 3; }
  double at(double estimate) const { return estimate > 0 ? scale * std::pow(estimate, power) : 0; }
};

}  // namespace reattend
