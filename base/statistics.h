// Small statistics of measurements.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace reattend {

/// A mean of those values that are numbers; NaN for none.
class Mean {
 public:
  void add(double x) {
    if (!std::isnan(x)) sum_ += x, ++n_;
  }
  double value() const { return n_ > 0 ? sum_ / static_cast<double>(n_) : std::numeric_limits<double>::quiet_NaN(); }
  int64_t n() const { return n_; }

 private:
  double sum_ = 0;
  int64_t n_ = 0;
};

/// The middle value, or the mean of the two middle ones; 0 for none.
inline double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/// Smallest value that at least `fraction` of the values do not exceed; nan for none. Reorders.
template <class T>
double percentile(std::vector<T>& values, double fraction) {
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  const double rank = std::ceil(fraction * static_cast<double>(values.size()));
  const auto at = std::clamp<int64_t>(static_cast<int64_t>(rank) - 1, 0, static_cast<int64_t>(values.size()) - 1);
  std::nth_element(values.begin(), values.begin() + at, values.end());
  return static_cast<double>(values[static_cast<size_t>(at)]);
}

}  // namespace reattend
