// Bounds masses from maps: what must be among the best K, what may be, and how much an unnamed position can have.
#include "replay/from_maps.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include <fmt/format.h>

#include "base/error.h"
#include "kernels/cpu/ops.h"

namespace reattend {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr int32_t kNever = std::numeric_limits<int32_t>::max();

/// What RankingSimulation asks of a layer, without its queries.
struct MapLayer {
  const TraceInfo& info;
  int32_t n_kv_head() const { return info.n_kv_head; }
  int32_t position(int32_t t) const { return info.n_prompt - 1 + t; }
  static float compare(const Comparison&, int32_t, int32_t, int32_t) { return kNan; }
  static int32_t rank_of_current(int32_t, int32_t) { return 0; }  // whether p is among the best is not known
};

/// One row of a map.
struct MapRow {
  std::span<const int32_t> positions;  ///< strongest first
  std::span<const float> weights;
  double rest = 1;  ///< mass of all other positions
  double most = 1;  ///< no other position has more
  bool known = false;
};

MapRow row_of(const MapData& map, int32_t t) {
  const int32_t row = t - map.first_step;
  if (row < 0 || row >= map.n_row) return {};  // step 0 has no map
  const size_t begin = static_cast<size_t>(row) * static_cast<size_t>(map.n_kept);
  size_t n = 0;
  while (n < static_cast<size_t>(map.n_kept) && map.positions[begin + n] >= 0) ++n;
  if (n == 0 || !std::isfinite(map.rest[static_cast<size_t>(row)])) return {};
  const double rest = std::max(0.0F, map.rest[static_cast<size_t>(row)]);
  return {.positions = std::span(map.positions).subspan(begin, n),
          .weights = std::span(map.weights).subspan(begin, n),
          .rest = rest,
          .most = std::min<double>(rest, map.weights[begin + n - 1]),
          .known = true};
}

/// What a map tells of the pooled ranking of its row: positions near one that it names, best first.
class KnownRanking {
 public:
  KnownRanking(int32_t n_position, const RankNeed& need, int32_t group)
      : low_(need.reduce == Reduce::first && group > 1 ? 0 : 1),
        high_(need.reduce == Reduce::mean ? 1 : group),
        pool_(need.pool),
        rank_(static_cast<size_t>(n_position), kNever),
        pooled_(static_cast<size_t>(n_position)) {}

  /// Row of step `step`, n entries.
  void take(const MapRow& row, int32_t step, int32_t n) {
    if (step == step_) return;
    for (const int32_t p : order_) rank_[static_cast<size_t>(p)] = kNever;
    order_.clear();
    step_ = step, n_ = n, most_ = row.most;
    if (!row.known) return;
    std::vector<float> weights(static_cast<size_t>(n));
    for (size_t i = 0; i < row.positions.size(); ++i) {
      if (row.positions[i] < n) weights[static_cast<size_t>(row.positions[i])] = row.weights[i];
    }
    Cpu::max_pool(weights.data(), n, pool_, pooled_.data());
    for (int32_t p = 0; p < n; ++p) {
      if (pooled_[static_cast<size_t>(p)] > 0) order_.push_back(p);
    }
    std::stable_sort(order_.begin(), order_.end(), [&](int32_t a, int32_t b) { return pooled(a) > pooled(b); });
    for (size_t i = 0; i < order_.size(); ++i) rank_[static_cast<size_t>(order_[i])] = static_cast<int32_t>(i);
  }

  /// How many of the first entries known must be among the best k, and how many may be; `others`: positions that no map
  /// names may be, too.
  struct Best {
    int32_t sure = 0, possible = 0;
    bool others = false;
  };
  Best best(int32_t k) const {
    const auto n_known = static_cast<int32_t>(order_.size());
    if (k >= n_) return {.sure = n_known, .possible = n_known, .others = true};
    if (k <= 0) return {};
    // Sure: fewer than k others can score as much. Possible: fewer than k others must score more.
    const double rival = k < n_known ? high_ * pooled(order_[static_cast<size_t>(k)]) : high_ * most_;
    const double least = k <= n_known ? low_ * pooled(order_[static_cast<size_t>(k) - 1]) : 0;
    Best out{.others = high_ * most_ >= least};
    while (out.sure < std::min(k, n_known) && low_ * pooled(order_[static_cast<size_t>(out.sure)]) > rival) ++out.sure;
    out.possible = out.sure;
    while (out.possible < n_known && high_ * pooled(order_[static_cast<size_t>(out.possible)]) >= least) ++out.possible;
    return out;
  }
  /// Place of a position among those known; kNever where it is not.
  int32_t rank(int32_t position) const { return rank_[static_cast<size_t>(position)]; }
  std::span<const int32_t> order() const { return order_; }

 private:
  double pooled(int32_t p) const { return pooled_[static_cast<size_t>(p)]; }

  double low_, high_;  ///< a score is at least and at most so many times the mean over the group
  int32_t pool_;
  int32_t step_ = -1, n_ = 0;
  double most_ = 1;
  std::vector<int32_t> order_;  ///< positions of a score above 0, best first
  std::vector<int32_t> rank_;   ///< [n_position] places in order_
  std::vector<float> pooled_;   ///< [n_position]
};

struct Interval {
  double low = 0, high = 0;
};

/// Mass of `set`, of which `best` of n_kept entries are known, in a row of n positions.
Interval mass(const PositionSet& set, const KnownRanking& ranking, const KnownRanking::Best& best, const MapRow& row,
              int32_t n) {
  const auto in_run = [&](int32_t p) { return p < set.lead || (p >= set.tail && p < set.end); };
  int32_t n_sure = set.lead + set.n_tail() + best.sure;  // positions that are in the set for sure
  for (const int32_t p : ranking.order().first(static_cast<size_t>(best.sure))) n_sure -= in_run(p) ? 1 : 0;
  int32_t n_named = 0, n_open = std::max(0, set.size() - n_sure);  // of those, in the map; places left in the set
  Interval out;
  for (size_t i = 0; i < row.positions.size(); ++i) {
    const int32_t p = row.positions[i], rank = ranking.rank(p);
    if (in_run(p) || rank < best.sure) {
      out.low += row.weights[i], out.high += row.weights[i], ++n_named;
    } else if (n_open > 0 && (rank == kNever ? best.others : rank < best.possible)) {
      out.high += row.weights[i], --n_open;  // the strongest take the places
    }
  }
  const int32_t n_other = n - static_cast<int32_t>(row.positions.size()), n_sure_other = n_sure - n_named;
  out.low += std::max(0.0, row.rest - (n_other - n_sure_other) * row.most);
  out.high += std::min(row.rest, (n_sure_other + n_open) * row.most);
  return out;
}

/// Most that n positions can hold.
double best_mass(const MapRow& row, int32_t n) {
  double sum = 0;
  const size_t named = std::min(static_cast<size_t>(n), row.weights.size());
  for (size_t i = 0; i < named; ++i) sum += row.weights[i];
  return sum + std::min(row.rest, (n - static_cast<double>(named)) * row.most);
}

}  // namespace

void check_from_maps(const LayerPlans& plans, const Settings& settings, const TraceInfo& info) {
  if (info.maps != Maps::top) {
    fail_usage({.where = info.path.string(),
                .expected = "maps of the strongest positions",
                .got = fmt::format("maps of kind {}", name_of(info.maps)),
                .remedy = "replay from keys, or record with `--maps top:64`"});
  }
  const bool gated = std::any_of(plans.steps.begin(), plans.steps.end(), [](const Plan& plan) { return plan.gated; });
  if (plans.kept_from == KeptFrom::rows && !gated) return;
  fail_usage({.where = "--from-maps",
              .expected = "full, recycled with schedule = fixed, oracle, streaming or streaming_refresh",
              .got = settings.summary(),
              .remedy = "replay it from keys, without --from-maps"});
}

LayerReplay replay_from_maps(const LayerPlans& plans, int32_t layer, const TraceInfo& info,
                             const std::function<MapData(int32_t kv_head)>& map_of, const Cancel& cancel) {
  MapLayer shape{info};
  const Decisions decisions = RankingSimulation(plans, shape).decide({1, info.n_step}, cancel);
  const size_t n = decisions.steps.size();
  LayerReplay out{.layer = layer, .work = decisions.work};
  out.full.resize(n), out.positions.resize(n), out.cos.assign(n, kNan);
  for (auto* masses : {&out.recovered, &out.recovered_upper, &out.oracle, &out.overlap, &out.jaccard}) {
    masses->assign(n, kNan);
  }
  for (int32_t g = 0; g < info.n_kv_head; ++g) {
    const MapData map = map_of(g);
    KnownRanking ranking(info.n_prompt + info.n_step, plans.rank, info.group());
    for (int32_t t = 1; t <= info.n_step; ++t) {
      cancel.check();
      const size_t at = static_cast<size_t>(t - 1) * static_cast<size_t>(info.n_kv_head) + static_cast<size_t>(g);
      const Decision& decision = decisions.steps[at];
      const Branch& branch = branch_of(plans.at(t), decision);
      const int32_t p = shape.position(t), kept = decision.kept_step;
      const int32_t selected_at = kept < 0 ? -1 : shape.position(kept);
      PositionSet set = resolve(branch.attend, nullptr, n_entry(branch, decision, shape, g, t), selected_at, p);
      // As a run of one it is in the set whether it is among the best or stands behind them.
      if (branch.before.with_current && set.size() <= p) set.tail = p, set.end = p + 1;
      out.full[at] = branch.full ? 1 : 0, out.positions[at] = set.size();
      const MapRow row = row_of(map, t);
      if (!row.known) continue;
      KnownRanking::Best best;
      if (set.n_kept > 0) {
        ranking.take(row_of(map, kept), kept, selected_at + 1);
        best = ranking.best(set.n_kept);
      }
      const Interval found = mass(set, ranking, best, row, p + 1);
      out.recovered[at] = static_cast<float>(found.low), out.recovered_upper[at] = static_cast<float>(found.high);
      out.oracle[at] = static_cast<float>(best_mass(row, set.size()));
    }
  }
  return out;
}

}  // namespace reattend
