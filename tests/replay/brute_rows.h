// Queries, keys, rows and outputs of a hand-made run by plain loops in double.
#pragma once
#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "tests/replay/hand_made.h"

namespace reattend {

class BruteRows {
 public:
  using Row = std::vector<double>;
  explicit BruteRows(const HandMade& run) : run_(run), info_(run.info()) {}

  Row mean_row(int32_t layer, int32_t g, int32_t t) const {
    Row mean(static_cast<size_t>(info_.n_prompt + t));
    for (int32_t h = g * info_.group(); h < (g + 1) * info_.group(); ++h) {
      const Row one = row(layer, h, t);
      for (size_t i = 0; i < mean.size(); ++i) mean[i] += one[i] / info_.group();
    }
    return mean;
  }

  static std::vector<int32_t> range(int32_t begin, int32_t end) {
    std::vector<int32_t> out(static_cast<size_t>(std::max(0, end - begin)));
    std::iota(out.begin(), out.end(), begin);
    return out;
  }
  static std::vector<int32_t> join(const std::vector<int32_t>& a, const std::vector<int32_t>& b) {
    std::set<int32_t> both(a.begin(), a.end());
    both.insert(b.begin(), b.end());
    return {both.begin(), both.end()};
  }

  Row query(int32_t layer, int32_t h, int32_t t) const {
    const int64_t at = (int64_t{t} * info_.n_head + h) * info_.d_head;
    const auto begin = run_.data(layer).queries.begin() + at;
    return {begin, begin + info_.d_head};
  }
  Row key(int32_t layer, int32_t g, int32_t position) const {
    Row out;
    for (int32_t c = 0; c < info_.d_head; ++c) out.push_back(run_.at(run_.data(layer).keys, g, position, c));
    return out;
  }
  Row turned(const Row& x, int32_t by) const {
    Row out = x;
    const int32_t half = info_.d_head / 2;
    for (int32_t i = 0; i < half; ++i) {
      const double angle = by * std::pow(info_.rope.base, -2.0 * i / info_.d_head);
      const int32_t a = info_.rope.layout == RopeLayout::pairs ? 2 * i : i;
      const int32_t b = info_.rope.layout == RopeLayout::pairs ? 2 * i + 1 : i + half;
      out[a] = x[a] * std::cos(angle) - x[b] * std::sin(angle);
      out[b] = x[a] * std::sin(angle) + x[b] * std::cos(angle);
    }
    return out;
  }
  static double dot(const Row& a, const Row& b) { return std::inner_product(a.begin(), a.end(), b.begin(), 0.0); }
  static void softmax(Row& scores) {
    const double top = *std::max_element(scores.begin(), scores.end());
    double sum = 0;
    for (double& x : scores) sum += x = std::exp(x - top);
    for (double& x : scores) x /= sum;
  }

  Row row(int32_t layer, int32_t h, int32_t t) const {
    return row_over(layer, h, t, range(0, info_.n_prompt + t), 1 / std::sqrt(info_.d_head));
  }
  /// Softmax of one head over a set, in the set's order.
  Row row_over(int32_t layer, int32_t h, int32_t t, const std::vector<int32_t>& set, double scale) const {
    Row scores;
    const Row q = query(layer, h, t);
    for (const int32_t i : set) scores.push_back(dot(q, key(layer, h / info_.group(), i)) * scale);
    if (!scores.empty()) softmax(scores);
    return scores;
  }
  /// Over the heads of one KV head; rows [n_head] of equal length.
  Row reduced(const std::vector<Row>& rows, int32_t g, const std::string& how) const {
    Row out = rows[static_cast<size_t>(g * info_.group())];
    for (int32_t h = g * info_.group() + 1; how != "first" && h < (g + 1) * info_.group(); ++h) {
      const Row& one = rows[static_cast<size_t>(h)];
      for (size_t i = 0; i < one.size(); ++i) out[i] = how == "max" ? std::max(out[i], one[i]) : out[i] + one[i];
    }
    return out;
  }
  static Row pooled(const Row& x, int64_t width) {
    Row out;
    const auto n = static_cast<int64_t>(x.size()), half = width / 2;
    for (int64_t i = 0; i < n; ++i) {
      out.push_back(
          *std::max_element(x.begin() + std::max<int64_t>(0, i - half), x.begin() + std::min(n, i + half + 1)));
    }
    return out;
  }
  /// The k of the positions (ascending) with the highest score, scores parallel to them, best first.
  static std::vector<int32_t> best(const std::vector<int32_t>& positions, const Row& scores, int64_t k) {
    std::vector<int32_t> order = range(0, static_cast<int32_t>(positions.size())), out;
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return scores[a] > scores[b]; });
    for (size_t i = 0; i < order.size() && static_cast<int64_t>(i) < k; ++i) out.push_back(positions[order[i]]);
    return out;
  }
  /// The best of everything by this step's pooled row.
  std::vector<int32_t> ranked(int32_t layer, int32_t g, int32_t t, const Settings& settings) const {
    std::vector<Row> rows;
    for (int32_t h = 0; h < info_.n_head; ++h) rows.push_back(h / info_.group() == g ? row(layer, h, t) : Row{});
    const Row score = pooled(reduced(rows, g, settings.choice("reduce")), settings.count("pool", layer, 0));
    return best(range(0, info_.n_prompt + t), score, settings.count("K", layer, info_.n_prompt));
  }
  static double cosine(const Row& a, const Row& b) { return dot(a, b) / std::sqrt(dot(a, a) * dot(b, b)); }
  /// Query of a step in the stage that a gate compares.
  Row staged(int32_t layer, int32_t h, int32_t t, const Settings& settings) const {
    const Row q = query(layer, h, t);
    return settings.choice("similarity_query") == "pre_rope" ? turned(q, -(info_.n_prompt - 1 + t)) : q;
  }

  Row output(int32_t layer, int32_t h, int32_t t, const std::vector<int32_t>& set, bool by_rank) const {
    const int32_t p = info_.n_prompt - 1 + t, g = h / info_.group();
    Row scores, out(static_cast<size_t>(info_.d_head));
    const auto n = static_cast<int32_t>(set.size());
    const Row q = by_rank ? turned(query(layer, h, t), n - 1 - p) : query(layer, h, t);
    for (int32_t r = 0; r < n; ++r) {
      const Row k = by_rank ? turned(key(layer, g, set[r]), r - set[r]) : key(layer, g, set[r]);
      scores.push_back(dot(q, k) / std::sqrt(info_.d_head));
    }
    softmax(scores);
    for (int32_t r = 0; r < n; ++r) {
      for (int32_t c = 0; c < info_.d_head; ++c) out[c] += scores[r] * run_.at(run_.data(layer).values, g, set[r], c);
    }
    return out;
  }

 protected:
  const HandMade& run_;
  const TraceInfo& info_;
};

}  // namespace reattend
