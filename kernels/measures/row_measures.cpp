// Computes the measures in plain double loops: they are made once per step and KV head.
#include "kernels/measures/row_measures.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "kernels/reference/reference.h"

namespace reattend {

Mass measure_mass(std::span<const float> rows, int32_t group, std::span<const int32_t> set) {
  const size_t n = rows.size() / group;
  std::vector<double> mean(n);
  for (int32_t h = 0; h < group; ++h) {
    for (size_t j = 0; j < n; ++j) mean[j] += static_cast<double>(rows[h * n + j]) / group;
  }
  Mass mass;
  for (const int32_t p : set) mass.recovered += mean[p];
  const auto count = static_cast<std::ptrdiff_t>(std::min(set.size(), n));
  std::nth_element(mean.begin(), mean.begin() + (count == static_cast<std::ptrdiff_t>(n) ? 0 : count), mean.end(),
                   std::greater<>());
  for (std::ptrdiff_t i = 0; i < count; ++i) mass.oracle += mean[i];
  return mass;
}

std::vector<double> scores_of(std::span<const float> rows, int32_t group, Reduce reduce, int32_t pool) {
  const auto n = static_cast<int64_t>(rows.size() / group);
  const std::vector<double> wide(rows.begin(), rows.end());
  std::vector<double> score(n), pooled(n);
  Reference::reduce_heads(wide.data(), group, n, n, reduce, score.data());
  Reference::max_pool(score.data(), n, pool, pooled.data());
  return pooled;
}

Overlap measure_overlap(std::span<const double> score, int32_t k, std::span<const int32_t> kept) {
  std::vector<int32_t> best(std::min<size_t>(score.size(), k));
  Reference::top_k(score.data(), static_cast<int32_t>(score.size()), k, best.data());
  std::vector<uint8_t> in_best(score.size());
  for (const int32_t p : best) in_best[p] = 1;
  const auto both =
      static_cast<double>(std::count_if(kept.begin(), kept.end(), [&](int32_t p) { return in_best[p] != 0; }));
  const auto n_best = static_cast<double>(best.size()), n_kept = static_cast<double>(kept.size());
  return {.overlap = both / n_best, .jaccard = both / (n_kept + n_best - both)};
}

double selection_margin(std::span<const double> score, int32_t k) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (k <= 0 || static_cast<size_t>(k) >= score.size()) return kInfinity;
  std::vector<double> copy(score.begin(), score.end());
  std::nth_element(copy.begin(), copy.begin() + (k - 1), copy.end(), std::greater<>());
  const double cut = copy[k - 1], scale = std::max(std::abs(cut), 1e-300);
  double above = kInfinity, below = kInfinity;  // distances to the nearest different scores
  int32_t n_reach = 0;
  for (const double x : score) {
    n_reach += x >= cut ? 1 : 0;
    if (x > cut) above = std::min(above, x - cut);
    if (x < cut) below = std::min(below, cut - x);
  }
  return (n_reach == k ? below : std::min(above, below)) / scale;
}

double selection_margin(std::span<const double> score, const Select& what) {
  if (what.min_weight <= 0) return selection_margin(score, what.keep);
  std::vector<double> best(score.begin(), score.end());
  std::sort(best.begin(), best.end(), std::greater<>());
  best.resize(std::min(best.size(), static_cast<size_t>(what.keep)));
  const size_t n_least = std::min(best.size(), static_cast<size_t>(what.least));
  const auto heavy = std::count_if(best.begin(), best.end(), [&](double x) { return x >= what.min_weight; });
  const size_t n_kept = std::max(n_least, static_cast<size_t>(heavy));
  double margin = std::numeric_limits<double>::infinity();
  if (n_kept == best.size() || n_kept == n_least) margin = selection_margin(score, static_cast<int32_t>(n_kept));
  for (size_t i = n_least; i < best.size(); ++i) {
    margin = std::min(margin, std::abs(best[i] - what.min_weight) / what.min_weight);
  }
  return margin;
}

double relative_error(std::span<const float> a, std::span<const float> b) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    const double difference = static_cast<double>(a[i]) - b[i];
    error += difference * difference;
    norm += static_cast<double>(b[i]) * b[i];
  }
  return std::sqrt(error / norm);
}

std::vector<double> log_softmax(std::span<const float> logits) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float x : logits) sum += std::exp(x - top);
  const double shift = top + std::log(sum);
  std::vector<double> out(logits.size());
  std::transform(logits.begin(), logits.end(), out.begin(), [shift](float x) { return x - shift; });
  return out;
}

double kl_divergence(std::span<const double> log_full, std::span<const double> log_policy) {
  double kl = 0;
  for (size_t i = 0; i < log_full.size(); ++i) kl += std::exp(log_full[i]) * (log_full[i] - log_policy[i]);
  return kl;
}

int32_t arg_max(std::span<const float> logits) {
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

}  // namespace reattend
