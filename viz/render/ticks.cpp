// Ticks at whole numbers.
#include "viz/render/ticks.h"

#include <algorithm>
#include <cmath>

#include "base/round_step.h"

namespace reattend::viz {

std::vector<double> whole_ticks(double low, double high, double room, double label) {
  std::vector<double> ticks;
  if (!(high > low) || !(room > 0) || !(label > 0)) return ticks;
  const double step = std::max(1.0, round_step((high - low) * label / room));
  const double first = std::ceil(low / step) * step + 0.0;  // no "-0"
  for (double at = first; at <= high; at += step) ticks.push_back(at);
  return ticks;
}

}  // namespace reattend::viz
