// What every policy of docs/semantics.md attends to, written from its rules and not from the program's plans.
#pragma once
#include <limits>
#include <utility>

#include "tests/replay/brute_rows.h"

namespace reattend {

/// One KV head at one step.
struct BruteChoice {
  bool full = false;
  double cos = std::numeric_limits<double>::quiet_NaN();
  std::vector<int32_t> set;        ///< sorted
  std::vector<int32_t> kept, top;  ///< recycled: R before the step, and the step's own top-K
};

class BrutePolicies : public BruteRows {
 public:
  using BruteRows::BruteRows;
  using Choices = std::vector<std::vector<BruteChoice>>;  ///< [T][n_kv_head], index t - 1

  Choices choices(int32_t layer, const Settings& s) const {
    const std::string& name = s.policy();
    if (name == "recycled") return recycled(layer, s);
    if (name == "h2o") return h2o(layer, s);
    if (name == "tova") return tova(layer, s);
    if (name == "tokenselect") return tokenselect(layer, s);
    Choices out = empty();
    for (int32_t g = 0; g < info_.n_kv_head; ++g) {
      const std::vector<int32_t> once =
          name == "snapkv" || name == "pyramidkv" ? prompt_choice(layer, g, s) : std::vector<int32_t>();
      Chosen chosen;
      for (int32_t t = 1; t <= info_.n_step; ++t) {
        BruteChoice& step = out[static_cast<size_t>(t - 1)][static_cast<size_t>(g)];
        if (name == "full") step = {.full = true, .set = all(t)};
        if (name == "oracle") step.set = join(ranked(layer, g, t, s), {p_of(t)});
        if (name == "streaming" || name == "streaming_refresh") step = streaming(layer, t, s);
        if (name == "snapkv" || name == "pyramidkv") step.set = join(once, range(info_.n_prompt, p_of(t) + 1));
        if (name == "quest") step = quest(layer, g, t, s);
        if (name == "sketch") step = sketch_again(layer, g, t, s, chosen);
      }
    }
    return out;
  }

 private:
  int32_t p_of(int32_t t) const { return info_.n_prompt - 1 + t; }
  std::vector<int32_t> all(int32_t t) const { return range(0, p_of(t) + 1); }
  int32_t budget(int32_t layer, const Settings& s) const {
    return static_cast<int32_t>(s.count("K", layer, info_.n_prompt));
  }
  static bool is_due(int32_t layer, int32_t t, const Settings& s) {
    const auto stride = s.count_or_never("S", layer);
    return stride && t % *stride == 0;
  }
  static bool is_dense(int32_t layer, const Settings& s) {
    const std::vector<int64_t> dense = s.layers("dense_layers");
    return std::count(dense.begin(), dense.end(), layer) > 0;
  }
  Choices empty() const {
    return Choices(static_cast<size_t>(info_.n_step), std::vector<BruteChoice>(static_cast<size_t>(info_.n_kv_head)));
  }

  Choices recycled(int32_t layer, const Settings& s) const {
    Choices out = empty();
    const int32_t k = budget(layer, s);
    std::vector<std::vector<int32_t>> kept;
    std::vector<int32_t> last(static_cast<size_t>(info_.n_kv_head), 0);  // step of the last full step
    for (int32_t g = 0; g < info_.n_kv_head; ++g) kept.push_back(ranked(layer, g, 0, s));
    for (int32_t t = 1; t <= info_.n_step; ++t) {
      for (int32_t g = 0; g < info_.n_kv_head; ++g) {
        BruteChoice& step = out[static_cast<size_t>(t - 1)][static_cast<size_t>(g)];
        step.cos = similarity(layer, g, t, last[g], s);
        const bool stays = s.choice("schedule") == "query" && step.cos > s.real("threshold", layer);
        step.full = is_dense(layer, s) || (is_due(layer, t, s) && !stays);
        const int32_t j = t - last[g];
        step.kept = kept[g], step.top = ranked(layer, g, t, s);
        std::vector<int32_t> best = kept[g];
        best.resize(std::min(best.size(), static_cast<size_t>(std::max(0, k - j + 1))));
        step.set = join(best, range(info_.n_prompt + last[g], p_of(t) + 1));
        if (is_dense(layer, s) || (step.full && s.choice("refresh") == "attend")) step.set = all(t);
      }
      for (int32_t g = 0; g < info_.n_kv_head; ++g) {
        BruteChoice& step = out[static_cast<size_t>(t - 1)][static_cast<size_t>(g)];
        if (step.full) kept[g] = step.top, last[g] = t;
      }
    }
    return out;
  }

  BruteChoice streaming(int32_t layer, int32_t t, const Settings& s) const {
    const int32_t k = budget(layer, s), p = p_of(t);
    const auto sinks = static_cast<int32_t>(std::min<int64_t>(s.count("sinks", layer, 0), k));
    if (s.policy() == "streaming_refresh" && is_due(layer, t, s)) return {.full = true, .set = all(t)};
    return {.set = p <= k ? all(t) : join(range(0, sinks), range(p - (k - sinks), p + 1))};
  }

  Choices h2o(int32_t layer, const Settings& s) const {
    Choices out = empty();
    const int32_t k = budget(layer, s), n_prompt = info_.n_prompt;
    const std::vector<double> prompt = run_.sum_rows(layer, 0);
    std::vector<Row> sums;  // [n_head][L + T]
    for (int32_t h = 0; h < info_.n_head; ++h) {
      Row& row = sums.emplace_back(prompt.begin() + int64_t{h} * n_prompt, prompt.begin() + int64_t{h + 1} * n_prompt);
      row.resize(static_cast<size_t>(n_prompt + info_.n_step));
    }
    std::vector<std::vector<int32_t>> alive(static_cast<size_t>(info_.n_kv_head), range(0, n_prompt));
    for (int32_t t = 1; t <= info_.n_step; ++t) {
      for (int32_t g = 0; g < info_.n_kv_head; ++g) {
        const int32_t p = p_of(t);
        std::vector<int32_t> set = alive[g];
        if (p > k) {
          const int32_t recent = p - k / 2;
          std::vector<int32_t> rest(set.begin(), std::lower_bound(set.begin(), set.end(), recent));
          const Row score = reduced(sums, g, s.choice("reduce"));
          Row of_rest;
          for (const int32_t i : rest) of_rest.push_back(score[i]);
          set = join(best(rest, of_rest, k - k / 2), range(recent, p));
        }
        set.push_back(p);
        for (int32_t h = g * info_.group(); h < (g + 1) * info_.group(); ++h) {
          const Row row = row_over(layer, h, t, set, 1 / std::sqrt(info_.d_head));
          for (size_t i = 0; i < set.size(); ++i) sums[h][set[i]] += row[i];
        }
        alive[g] = out[static_cast<size_t>(t - 1)][static_cast<size_t>(g)].set = std::move(set);
      }
    }
    return out;
  }

  /// What snapkv and pyramidkv keep of the prompt.
  std::vector<int32_t> prompt_choice(int32_t layer, int32_t g, const Settings& s) const {
    const int32_t n_prompt = info_.n_prompt, k = budget(layer, s);
    const auto window = static_cast<int32_t>(std::min<int64_t>(s.count("window", layer, 0), n_prompt));
    if (n_prompt <= k) return range(0, n_prompt);
    int64_t keep = k - window;
    if (s.policy() == "pyramidkv" && info_.n_layer > 1) {
      const double c = static_cast<double>(keep), least = c / static_cast<double>(s.count("beta", layer, 0));
      const double most = 2 * c - least;
      keep = static_cast<int64_t>(std::floor(most - layer * (most - least) / (info_.n_layer - 1) + 1e-9));
    }
    const std::vector<double> sums = run_.sum_rows(layer, n_prompt - window);
    std::vector<Row> rows;
    for (int32_t h = 0; h < info_.n_head; ++h) {
      rows.emplace_back(sums.begin() + int64_t{h} * n_prompt, sums.begin() + int64_t{h + 1} * n_prompt);
    }
    const Row score = pooled(reduced(rows, g, s.choice("reduce")), s.count("pool", layer, 0));
    return join(best(range(0, n_prompt - window), score, keep), range(n_prompt - window, n_prompt));
  }

  Choices tova(int32_t layer, const Settings& s) const {
    Choices out = empty();
    const auto vote = [&](int32_t t, const std::vector<int32_t>& set) {
      Row mean(set.size());
      for (int32_t h = 0; h < info_.n_head; ++h) {
        const Row row = row_over(layer, h, t, set, 1 / std::sqrt(info_.d_head));
        for (size_t i = 0; i < set.size(); ++i) mean[i] += row[i];
      }
      std::vector<int32_t> kept = best(set, mean, budget(layer, s));
      std::sort(kept.begin(), kept.end());
      return kept;
    };
    std::vector<int32_t> alive = vote(0, all(0));
    for (int32_t t = 1; t <= info_.n_step; ++t) {
      alive.push_back(p_of(t));
      for (BruteChoice& head : out[static_cast<size_t>(t - 1)]) head.set = alive;
      alive = vote(t, alive);
    }
    return out;
  }

  BruteChoice quest(int32_t layer, int32_t g, int32_t t, const Settings& s) const {
    const int32_t p = p_of(t), page = static_cast<int32_t>(s.count("page", layer, 0)), last = (p - 1) / page;
    if (is_dense(layer, s)) return {.full = true, .set = all(t)};
    Row scores;
    for (int32_t i = 0; i < last; ++i) {
      double score = -std::numeric_limits<double>::infinity();
      for (int32_t h = g * info_.group(); h < (g + 1) * info_.group(); ++h) {
        const Row q = query(layer, h, t);
        Row least = key(layer, g, i * page), most = least;
        for (int32_t j = 1; j < page; ++j) {
          const Row k = key(layer, g, i * page + j);
          for (size_t c = 0; c < k.size(); ++c) least[c] = std::min(least[c], k[c]), most[c] = std::max(most[c], k[c]);
        }
        double bound = 0;
        for (size_t c = 0; c < q.size(); ++c) bound += std::max(q[c] * least[c], q[c] * most[c]);
        score = std::max(score, bound);
      }
      scores.push_back(score);
    }
    std::vector<int32_t> set = range(last * page, p + 1);
    for (const int32_t i : best(range(0, last), scores, (budget(layer, s) + page - 1) / page - 1)) {
      set = join(set, range(i * page, (i + 1) * page));
    }
    return {.set = set};
  }

  /// The last choice of a KV head: its step and set.
  struct Chosen {
    int32_t step = 0;
    std::vector<int32_t> set;
  };
  /// The last choice while the query is like its own, or another.
  BruteChoice sketch_again(int32_t layer, int32_t g, int32_t t, const Settings& s, Chosen& last) const {
    BruteChoice step;
    if (!is_dense(layer, s) && p_of(t) > budget(layer, s) && s.real("reuse", layer) <= 1 && last.step > 0) {
      Row now(static_cast<size_t>(info_.d_head)), then = now;
      for (int32_t h = g * info_.group(); h < (g + 1) * info_.group(); ++h) {
        const Row a = staged(layer, h, t, s), b = staged(layer, h, last.step, s);
        for (size_t c = 0; c < now.size(); ++c) now[c] += a[c], then[c] += b[c];
      }
      step.cos = cosine(now, then);
      if (step.cos > s.real("reuse", layer)) {
        step.set = join(last.set, range(p_of(last.step), p_of(t) + 1));
        return step;
      }
    }
    const double cosine_then = step.cos;
    step = sketch(layer, g, t, s);
    step.cos = cosine_then;
    if (!is_dense(layer, s) && p_of(t) > budget(layer, s)) last = {t, step.set};
    return step;
  }

  BruteChoice sketch(int32_t layer, int32_t g, int32_t t, const Settings& s) const {
    const auto count = [&](const char* key) { return static_cast<int32_t>(s.count(key, layer, info_.n_prompt)); };
    const int32_t p = p_of(t), k = budget(layer, s), sinks = std::min(count("sinks"), k);
    const int32_t recent = std::min(count("recent"), k - sinks), d = info_.d_head;
    if (is_dense(layer, s)) return {.full = true, .set = all(t)};
    if (p <= k) return {.set = all(t)};
    const int32_t first_head = g * info_.group(), end_head = first_head + info_.group();
    // Ranges by channel, [block][d_head], and the channels that this query reads.
    std::vector<Row> low, high;
    Row weight(static_cast<size_t>(d));
    const int32_t block = count("block"), first_block = sinks / block;
    for (int32_t j = sinks; j < p; ++j) {
      const Row x = key(layer, g, j);
      if (static_cast<int32_t>(low.size()) <= j / block - first_block) low.push_back(x), high.push_back(x);
      for (int32_t c = 0; c < d; ++c) {
        low.back()[c] = std::min(low.back()[c], x[c]), high.back()[c] = std::max(high.back()[c], x[c]);
      }
    }
    for (int32_t c = 0; c < d; ++c) {
      double most = 0, widest = 0;
      for (int32_t h = first_head; h < end_head; ++h) most = std::max(most, std::abs(query(layer, h, t)[c]));
      for (size_t b = 0; b < low.size(); ++b) widest = std::max(widest, high[b][c] - low[b][c]);
      weight[c] = most * widest;
    }
    const std::vector<int32_t> read =
        best(range(0, d), weight, s.is_auto("channels") ? (d + 3) / 4 : count("channels"));
    const double bins = std::pow(2.0, count("bits"));
    const auto coarse = [&](int32_t j, int32_t c) {
      const double from = low[j / block - first_block][c], width = high[j / block - first_block][c] - from;
      if (std::count(read.begin(), read.end(), c) == 0) return from + width / 2;
      const double x = key(layer, g, j)[c];
      double code = 0;
      while (width > 0 && code < bins - 1 && bins * (x - from) >= (code + 1) * width) ++code;
      return from + (code + 0.5) * width / bins;
    };
    std::vector<Row> rows(static_cast<size_t>(info_.n_head));
    for (int32_t h = first_head; h < end_head; ++h) {
      const Row q = query(layer, h, t);
      for (int32_t j = 0; j <= p; ++j) {
        double score = 0;
        for (int32_t c = 0; c < d; ++c) score += q[c] * (j < sinks || j == p ? key(layer, g, j)[c] : coarse(j, c));
        rows[h].push_back(score / std::sqrt(d));
      }
      softmax(rows[h]);
    }
    Row score = pooled(reduced(rows, g, s.choice("reduce")), s.count("pool", layer, 0));
    if (s.choice("reduce") == "mean") {
      for (double& x : score) x /= info_.group();
    }
    const Row among(score.begin() + sinks, score.begin() + (p - recent));
    std::vector<int32_t> set = join(range(0, sinks), range(p - recent, p + 1));
    auto kept = static_cast<int32_t>(set.size()) - 1;  // cached ones
    for (const int32_t j : best(range(sinks, p - recent), among, k - sinks - recent)) {
      if (score[j] < s.real("min_weight", layer) && kept >= count("min_k")) break;
      set = join(set, {j}), ++kept;
    }
    return {.set = set};
  }

  Choices tokenselect(int32_t layer, const Settings& s) const {
    Choices out = empty();
    const int32_t n_prompt = info_.n_prompt;
    const auto part = [&](const char* key, int64_t otherwise) {
      return static_cast<int32_t>(s.is_auto(key) ? otherwise : s.count(key, layer, n_prompt));
    };
    const bool given = !s.is_auto("K");
    const int32_t k = given ? budget(layer, s) : 0;
    const int32_t n_init = part("n_init", given ? k / 16 : 128), n_local = part("n_local", given ? 7 * k / 16 : 512);
    const int32_t n_middle = given ? k - n_init - n_local : part("k", 2048);
    int32_t last = 0;  // step of the last selection; 0: none yet
    std::vector<int32_t> middle;
    for (int32_t t = 1; t <= info_.n_step; ++t) {
      const int32_t p = p_of(t);
      Row now, then;
      for (int32_t h = 0; h < info_.n_head; ++h) {
        for (const double x : staged(layer, h, t, s)) now.push_back(x);
        for (const double x : staged(layer, h, last, s)) then.push_back(x);
      }
      BruteChoice step;
      if (last > 0) step.cos = cosine(now, then);
      step.full = last == 0 || s.choice("selection_cache") == "off" || step.cos < s.real("threshold", layer);
      if (step.full) {
        const std::vector<int32_t> candidates = range(n_init, p - n_local);
        Row votes(candidates.size());
        for (int32_t h = 0; h < info_.n_head; ++h) {
          const Row row = row_over(layer, h, t, candidates, 1);
          for (size_t i = 0; i < votes.size(); ++i) votes[i] += row[i];
        }
        middle = best(candidates, votes, n_middle), last = t;
      }
      const std::vector<int32_t> ends =
          join(range(0, std::min(n_init, p)), range(std::max(0, p_of(last) - n_local), p + 1));
      step.set = join(ends, middle);
      out[static_cast<size_t>(t - 1)].assign(static_cast<size_t>(info_.n_kv_head), step);
    }
    return out;
  }

  double similarity(int32_t layer, int32_t g, int32_t t, int32_t reference, const Settings& settings) const {
    const bool own = settings.choice("granularity") == "kv_head";
    const int32_t begin = own ? g * info_.group() : 0, end = own ? begin + info_.group() : info_.n_head;
    Row now(static_cast<size_t>(info_.d_head)), then = now;
    double sum = 0, least = 2;
    for (int32_t h = begin; h < end; ++h) {
      const Row a = staged(layer, h, t, settings), b = staged(layer, h, reference, settings);
      for (size_t c = 0; c < now.size(); ++c) now[c] += a[c], then[c] += b[c];
      sum += cosine(a, b), least = std::min(least, cosine(a, b));
    }
    const std::string& how = settings.choice("similarity_reduce");
    return how == "mean_query" ? cosine(now, then) : how == "mean_cosine" ? sum / (end - begin) : least;
  }
};

}  // namespace reattend
