// What a list of numbers looks like: how many, their mean, their ends and what lies between.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "base/statistics.h"

namespace reattend {

/// Quantiles are values that occur: the smallest that at least the fraction do not exceed. nan where there are none.
struct Spread {
  static constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  int64_t n = 0;
  double mean = kNone, min = kNone, p05 = kNone, p25 = kNone, p50 = kNone, p75 = kNone, p95 = kNone, p99 = kNone,
         max = kNone;
};

/// Of the values that are numbers.
inline Spread spread(std::vector<float> values) {
  std::erase_if(values, [](float x) { return std::isnan(x); });
  Spread out{.n = static_cast<int64_t>(values.size())};
  if (values.empty()) return out;
  double sum = 0;
  for (const float x : values) sum += x;
  out.mean = sum / static_cast<double>(values.size());
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  out.min = *low, out.max = *high;
  for (const auto& [to, fraction] : {std::pair{&Spread::p05, 0.05},
                                     {&Spread::p25, 0.25},
                                     {&Spread::p50, 0.5},
                                     {&Spread::p75, 0.75},
                                     {&Spread::p95, 0.95},
                                     {&Spread::p99, 0.99}}) {
    out.*to = percentile(values, fraction);
  }
  return out;
}

}  // namespace reattend
