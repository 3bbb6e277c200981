// SEMANTICS by plain loops in double on a hand-made run: what the replay must find.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <vector>

#include "tests/replay/hand_made.h"

namespace reattend {

/// One KV head at one step.
struct BruteStep {
  bool full = false;
  double cos = std::numeric_limits<double>::quiet_NaN();
  std::vector<int32_t> set;  ///< sorted
  double recovered = 0, oracle = 0;
  double overlap = std::numeric_limits<double>::quiet_NaN(), jaccard = overlap;
  std::vector<double> error;  ///< [group]
};

class BruteForce {
 public:
  using Row = std::vector<double>;
  explicit BruteForce(const HandMade& run) : run_(run), info_(run.info()) {}

  /// [T][n_kv_head], index t - 1
  std::vector<std::vector<BruteStep>> layer(int32_t layer, const Settings& settings) {
    const int32_t n_kv = info_.n_kv_head, group = info_.group();
    std::vector<std::vector<int32_t>> kept(n_kv);
    std::vector<int32_t> last(n_kv, 0);  // step of the last full step
    const bool recycled = settings.policy() == "recycled";
    for (int32_t g = 0; recycled && g < n_kv; ++g) kept[g] = ranked(layer, g, 0, settings);
    std::vector<std::vector<BruteStep>> out;
    for (int32_t t = 1; t <= info_.n_step; ++t) {
      std::vector<BruteStep> heads(n_kv);
      for (int32_t g = 0; g < n_kv; ++g) {
        BruteStep& step = heads[g];
        const int32_t p = info_.n_prompt - 1 + t;
        const std::vector<int32_t> all = range(0, p + 1);
        bool attends_all = settings.policy() == "full";
        step.full = attends_all;
        if (settings.policy() == "streaming") {
          const auto k = static_cast<int32_t>(settings.count("K", layer, info_.n_prompt));
          const auto sinks = static_cast<int32_t>(std::min<int64_t>(settings.count("sinks", layer, 0), k));
          step.set = p + 1 <= k ? all : join(range(0, sinks), range(p - (k - sinks), p + 1));
        }
        if (recycled) {
          const auto k = static_cast<int32_t>(settings.count("K", layer, info_.n_prompt));
          const std::vector<int64_t> dense_list = settings.layers("dense_layers");
          const bool dense = std::count(dense_list.begin(), dense_list.end(), layer) > 0;
          const auto stride = settings.count_or_never("S", layer);
          const bool due = stride && t % *stride == 0;
          step.cos = similarity(layer, g, t, last[g], settings);
          const bool stays = settings.choice("schedule") == "query" && step.cos > settings.real("threshold", layer);
          step.full = dense || (due && !stays);
          attends_all = dense || (step.full && settings.choice("refresh") == "attend");
          const int32_t j = t - last[g];
          const auto n_old = static_cast<size_t>(std::max(0, k - j + 1));
          std::vector<int32_t> best = kept[g];
          best.resize(std::min(best.size(), n_old));
          step.set = join(best, range(info_.n_prompt + last[g], p + 1));
          const std::vector<int32_t> top = ranked(layer, g, t, settings);
          const std::set<int32_t> before(kept[g].begin(), kept[g].end());
          const auto both =
              static_cast<double>(std::count_if(top.begin(), top.end(), [&](int32_t i) { return before.contains(i); }));
          step.overlap = both / static_cast<double>(top.size());
          step.jaccard = both / static_cast<double>(top.size() + before.size() - static_cast<size_t>(both));
        }
        if (attends_all) step.set = all;
        const Row mean = mean_row(layer, g, t);
        for (const int32_t i : step.set) step.recovered += mean[i];
        Row sorted = mean;
        std::sort(sorted.rbegin(), sorted.rend());
        step.oracle = std::accumulate(sorted.begin(), sorted.begin() + static_cast<int64_t>(step.set.size()), 0.0);
        const bool by_rank = settings.policy() == "streaming" && settings.choice("rotate") == "cache";
        for (int32_t h = g * group; info_.has_values && h < (g + 1) * group; ++h) {
          const Row mine = output(layer, h, t, step.set, by_rank), full = output(layer, h, t, all, false);
          double difference = 0, norm = 0;
          for (size_t c = 0; c < full.size(); ++c) {
            difference += (mine[c] - full[c]) * (mine[c] - full[c]), norm += full[c] * full[c];
          }
          step.error.push_back(std::sqrt(difference / norm));
        }
      }
      for (int32_t g = 0; recycled && g < n_kv; ++g) {
        if (heads[g].full) kept[g] = ranked(layer, g, t, settings), last[g] = t;
      }
      out.push_back(std::move(heads));
    }
    return out;
  }

  Row mean_row(int32_t layer, int32_t g, int32_t t) {
    Row mean(static_cast<size_t>(info_.n_prompt + t));
    for (int32_t h = g * info_.group(); h < (g + 1) * info_.group(); ++h) {
      const Row one = row(layer, h, t);
      for (size_t i = 0; i < mean.size(); ++i) mean[i] += one[i] / info_.group();
    }
    return mean;
  }

 private:
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
    Row scores;
    const Row q = query(layer, h, t);
    for (int32_t i = 0; i < info_.n_prompt + t; ++i) {
      scores.push_back(dot(q, key(layer, h / info_.group(), i)) / std::sqrt(info_.d_head));
    }
    softmax(scores);
    return scores;
  }

  std::vector<int32_t> ranked(int32_t layer, int32_t g, int32_t t, const Settings& settings) {
    Row reduced = row(layer, g * info_.group(), t);
    const std::string& how = settings.choice("reduce");
    for (int32_t h = g * info_.group() + 1; how != "first" && h < (g + 1) * info_.group(); ++h) {
      const Row one = row(layer, h, t);
      for (size_t i = 0; i < one.size(); ++i)
        reduced[i] = how == "max" ? std::max(reduced[i], one[i]) : reduced[i] + one[i];
    }
    const auto n = static_cast<int32_t>(reduced.size());
    const auto half = static_cast<int32_t>(settings.count("pool", layer, 0) / 2);
    Row pooled;
    for (int32_t i = 0; i < n; ++i) {
      pooled.push_back(
          *std::max_element(reduced.begin() + std::max(0, i - half), reduced.begin() + std::min(n, i + half + 1)));
    }
    std::vector<int32_t> order = range(0, n);
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return pooled[a] > pooled[b]; });
    order.resize(std::min<size_t>(order.size(), static_cast<size_t>(settings.count("K", layer, info_.n_prompt))));
    return order;
  }

  double similarity(int32_t layer, int32_t g, int32_t t, int32_t reference, const Settings& settings) const {
    const bool own = settings.choice("granularity") == "kv_head",
               pre = settings.choice("similarity_query") == "pre_rope";
    const int32_t begin = own ? g * info_.group() : 0, end = own ? begin + info_.group() : info_.n_head;
    const auto staged = [&](int32_t h, int32_t step) {
      const Row q = query(layer, h, step);
      return pre ? turned(q, -(info_.n_prompt - 1 + step)) : q;
    };
    const auto cosine = [](const Row& a, const Row& b) { return dot(a, b) / std::sqrt(dot(a, a) * dot(b, b)); };
    Row now(static_cast<size_t>(info_.d_head)), then = now;
    double sum = 0, least = 2;
    for (int32_t h = begin; h < end; ++h) {
      const Row a = staged(h, t), b = staged(h, reference);
      for (size_t c = 0; c < now.size(); ++c) now[c] += a[c], then[c] += b[c];
      sum += cosine(a, b), least = std::min(least, cosine(a, b));
    }
    const std::string& how = settings.choice("similarity_reduce");
    return how == "mean_query" ? cosine(now, then) : how == "mean_cosine" ? sum / (end - begin) : least;
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

  const HandMade& run_;
  const TraceInfo& info_;
};

}  // namespace reattend
