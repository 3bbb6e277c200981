// Finds overlap and mass of an old set at all budgets in one pass: an entry counts from the larger of its two ranks
// on.
#include "replay/analysis/overlap.h"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "base/error.h"
#include "kernels/measures/row_sums.h"

namespace reattend {
namespace {

constexpr int64_t kHeldBytes = int64_t{32} << 20;

struct Scratch {
  std::vector<float> row;
  std::vector<int32_t> rank;    ///< [n] of each position in the step's own set, `depth` beyond it
  std::vector<double> prefix;   ///< mass of an old set's first entries
  std::vector<int64_t> common;  ///< [budgets] entries that count from this budget on
  MassScratch best;
};

/// One KV head.
class Head {
 public:
  Head(const PreparedLayer& prepared, const RowTops& tops, LayerOverlap& out)
      : prepared_(prepared),
        tops_(tops),
        out_(out),
        depth_(tops.depth()),
        max_lag_(*std::max_element(out.lags.begin(), out.lags.end())),
        max_budget_(*std::max_element(out.budgets.begin(), out.budgets.end())) {
    by_size_.resize(out.budgets.size());
    std::iota(by_size_.begin(), by_size_.end(), size_t{0});
    std::sort(by_size_.begin(), by_size_.end(), [&](size_t a, size_t b) { return out.budgets[a] < out.budgets[b]; });
    size_t next = 0;
    for (int32_t rank = 0; rank < depth_; ++rank) {
      while (next < by_size_.size() && out.budgets[by_size_[next]] <= rank) ++next;
      first_budget_.push_back(next);
    }
  }

  void step(int32_t g, int32_t t, Scratch& s) {
    const int32_t n = prepared_.n_row(t);
    s.row.resize(static_cast<size_t>(n));
    prepared_.copy_row(g, t, s.row.data());
    best_masses(s.row.data(), n, static_cast<int32_t>(std::min(int64_t{max_budget_} + max_lag_, int64_t{n})), s.best);
    s.rank.assign(static_cast<size_t>(n), depth_);
    const int32_t* now = tops_.of(t);
    for (int32_t i = 0; i < tops_.size(t); ++i) s.rank[static_cast<size_t>(now[i])] = i;
    for (size_t lag = 0; lag < out_.lags.size(); ++lag) {
      if (out_.lags[lag] <= t) compare(g, t, lag, s);
    }
  }

 private:
  void compare(int32_t g, int32_t t, size_t lag, Scratch& s) {
    const int32_t j = out_.lags[lag], n = prepared_.n_row(t), n_old = tops_.size(t - j);
    const int32_t* old = tops_.of(t - j);
    s.prefix.assign(static_cast<size_t>(n_old) + 1, 0);
    s.common.assign(by_size_.size() + 1, 0);
    for (int32_t i = 0; i < n_old; ++i) {
      s.prefix[static_cast<size_t>(i) + 1] = s.prefix[static_cast<size_t>(i)] + s.row[static_cast<size_t>(old[i])];
      const int32_t from = std::max(i, s.rank[static_cast<size_t>(old[i])]);
      if (from < depth_) ++s.common[first_budget_[static_cast<size_t>(from)]];
    }
    const double since = run_sum(s.row.data(), n - j, n);
    const auto best = [&](int32_t k) { return static_cast<float>(s.best.mass[static_cast<size_t>(std::min(k, n))]); };
    int64_t common = 0;
    for (size_t i = 0; i < by_size_.size(); ++i) {
      common += s.common[i];
      const size_t budget = by_size_[i];
      const int32_t k = out_.budgets[budget];
      const int32_t kept = std::min(std::max(0, k - j + 1), n_old);
      AgedSet& out = out_.all[((lag * out_.budgets.size() + budget) * out_.n_step + (t - 1)) * out_.n_kv_head + g];
      out.overlap = static_cast<float>(static_cast<double>(common) / std::min(k, n));
      out.stale = static_cast<float>(s.prefix[static_cast<size_t>(std::min(k, n_old))]);
      out.attended = static_cast<float>(s.prefix[static_cast<size_t>(kept)] + since);
      out.oracle = best(k), out.attended_oracle = best(kept + j);
    }
  }

  const PreparedLayer& prepared_;
  const RowTops& tops_;
  LayerOverlap& out_;
  int32_t depth_, max_lag_, max_budget_;
  std::vector<size_t> by_size_;       ///< budgets from the smallest on
  std::vector<size_t> first_budget_;  ///< [depth] place in by_size_ of the smallest budget that reaches a rank
};

[[noreturn]] void fail_count(const char* what, int32_t got) {
  fail_usage({.where = what, .expected = "at least 1", .got = fmt::format("{}", got), .remedy = {}});
}

}  // namespace

LayerOverlap overlap_by_lag(const PreparedLayer& prepared, int32_t layer, const OverlapRequest& request,
                            ThreadPool& threads, const Cancel& cancel) {
  LayerOverlap out{.layer = layer,
                   .n_step = prepared.n_step(),
                   .n_kv_head = prepared.n_kv_head(),
                   .lags = request.lags,
                   .budgets = request.budgets};
  for (const int32_t lag : out.lags) {
    if (lag < 1) fail_count("lag", lag);
  }
  for (const int32_t k : out.budgets) {
    if (k < 1) fail_count("budget", k);
  }
  if (out.lags.empty() || out.budgets.empty()) return out;
  constexpr auto kNone = static_cast<float>(Spread::kNone);
  out.all.assign(out.lags.size() * out.budgets.size() * static_cast<size_t>(out.n_step) * out.n_kv_head,
                 {kNone, kNone, kNone, kNone, kNone});
  const int32_t depth = *std::max_element(out.budgets.begin(), out.budgets.end());
  const int32_t longest = *std::max_element(out.lags.begin(), out.lags.end());
  std::vector<Scratch> scratch(static_cast<size_t>(threads.n_thread()));
  for (int32_t g = 0; g < out.n_kv_head; ++g) {
    RowTops tops(prepared, g, request.reduce, request.pool, depth);
    Head work(prepared, tops, out);
    // Sets of all steps of a long decode would be gigabytes: as many are held as a step looks back, and some more.
    const auto n_more = static_cast<int32_t>(std::min<int64_t>(kHeldBytes / (int64_t{4} * tops.depth()), out.n_step));
    for (int32_t first = 1; first <= out.n_step;) {
      const int32_t last = std::min(out.n_step, first + std::max(n_more, 1) - 1);
      tops.hold({std::max(0, first - longest), last}, threads, cancel);
      threads.run(last - first + 1, [&](int64_t i, int thread) {
        cancel.check();
        work.step(g, first + static_cast<int32_t>(i), scratch[static_cast<size_t>(thread)]);
      });
      first = last + 1;
    }
  }
  return out;
}

AgedMeans aged_means(std::span<const LayerOverlap> layers, size_t lag, size_t budget) {
  AgedMeans out;
  double overlap = 0, stale = 0, attended = 0, oracle = 0, stale_of_oracle = 0;
  std::vector<float> normalised;
  for (const LayerOverlap& layer : layers) {
    const size_t n = static_cast<size_t>(layer.n_step) * layer.n_kv_head;
    for (const AgedSet& each : std::span(layer.of(lag, budget), n)) {
      if (std::isnan(each.overlap)) continue;
      overlap += each.overlap, stale += each.stale, attended += each.attended, oracle += each.oracle;
      stale_of_oracle += static_cast<double>(each.stale) / each.oracle;
      normalised.push_back(each.attended / each.attended_oracle);
    }
  }
  out.n = static_cast<int64_t>(normalised.size());
  if (out.n == 0) return out;
  const auto n = static_cast<double>(out.n);
  out.overlap = overlap / n, out.stale = stale / n, out.attended = attended / n, out.oracle = oracle / n;
  out.stale_of_oracle = stale_of_oracle / n;
  out.attended_of_oracle = spread(std::move(normalised));
  return out;
}

}  // namespace reattend
