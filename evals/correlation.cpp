// Computes rank correlations by plain loops, for a few dozen settings at a time.
#include "evals/correlation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace reattend {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

struct Pairs {
  std::vector<double> x, y;
};

Pairs finite_pairs(std::span<const double> x, std::span<const double> y) {
  Pairs out;
  for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
    if (!std::isfinite(x[i]) || !std::isfinite(y[i])) continue;
    out.x.push_back(x[i]), out.y.push_back(y[i]);
  }
  return out;
}

int sign(double x) {
  return (x > 0 ? 1 : 0) - (x < 0 ? 1 : 0);
}

}  // namespace

std::vector<double> ranks(std::span<const double> values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] < values[b]; });
  std::vector<double> out(values.size());
  for (size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
    for (size_t i = begin; i < end; ++i) out[order[i]] = (static_cast<double>(begin + end) + 1) / 2;
  }
  return out;
}

double spearman(std::span<const double> x, std::span<const double> y) {
  const Pairs pairs = finite_pairs(x, y);
  if (pairs.x.size() < 2) return kNan;
  const std::vector<double> a = ranks(pairs.x), b = ranks(pairs.y);
  const double middle = (static_cast<double>(a.size()) + 1) / 2;
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    ab += (a[i] - middle) * (b[i] - middle);
    aa += (a[i] - middle) * (a[i] - middle), bb += (b[i] - middle) * (b[i] - middle);
  }
  return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : kNan;
}

double kendall(std::span<const double> x, std::span<const double> y) {
  const Pairs pairs = finite_pairs(x, y);
  double together = 0, n_x = 0, n_y = 0;  // pairs that differ in x, in y
  for (size_t i = 0; i < pairs.x.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      const int a = sign(pairs.x[i] - pairs.x[j]), b = sign(pairs.y[i] - pairs.y[j]);
      together += a * b, n_x += a * a, n_y += b * b;
    }
  }
  return n_x > 0 && n_y > 0 ? together / std::sqrt(n_x * n_y) : kNan;
}

}  // namespace reattend
