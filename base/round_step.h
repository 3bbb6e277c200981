// Round distances between the marks of an axis.
#pragma once
#include <cmath>

namespace reattend {

/// The smallest of 1, 2 and 5 times a power of ten that is not below `rough` (above 0).
inline double round_step(double rough) {
  constexpr double kSlack = 1e-9;  // `rough` is a quotient: one that should be a round number may lie a bit above it
  const double decade = std::pow(10, std::floor(std::log10(rough)));
  for (const double each : {1.0, 2.0, 5.0}) {
    if (each * decade >= rough * (1 - kSlack)) return each * decade;
  }
  return 10 * decade;
}

}  // namespace reattend
