// The two parameters of a policy over which a map of settings goes, and the values that it has of each.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "policies/settings.h"
#include "traces/read/info.h"

namespace reattend::viz {

/// Ascending values of one parameter.
struct Axis {
  std::string key;              ///< empty: nothing varies, and there is one place
  std::vector<Value> values;    ///< those that the tuner tries, and between them
  std::vector<bool> tried;      ///< parallel: the tuner tries it
  std::vector<double> numbers;  ///< parallel: what a value amounts to
  bool logarithmic = true;      ///< between two values

  size_t size() const { return key.empty() ? 1 : values.size(); }
  /// Where a number lies, in places: 1.5 is half way between the second and the third; at the ends at most half a place
  /// beyond them.
  double place(double number) const;
  bool holds(double number) const { return key.empty() || (number >= numbers.front() && number <= numbers.back()); }
};

/// K upwards where the policy takes it as a number, and across S, or else that of its other parameters with the most
/// numbers to try; either may be empty.
struct Axes {
  Axis across, upwards;
};
Axes axes_of(const Settings& settings, const TraceInfo& info);
/// Of the threshold, if the policy has one that `across` is not; otherwise empty.
Axis threshold_axis(const Settings& settings, const Axes& axes);

/// What a setting has of an axis's parameter as a number; nan for `never`, lists and `auto`.
double number_of(const Settings& settings, const Axis& axis, int32_t n_prompt);
/// The setting at these places.
Settings at_places(Settings settings, const Axis& axis, size_t place);

}  // namespace reattend::viz
