// Analyses rows in two tasks a KV head: overlap needs scores, the map and the masses the mean; they share the rows.
#include "engine/record/row_analysis.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "kernels/cpu/ops.h"
#include "kernels/measures/row_sums.h"

namespace reattend {
namespace {

constexpr int32_t kNoRank = std::numeric_limits<int32_t>::max();

}  // namespace

RowAnalysis::RowAnalysis(const TraceHeader& header, ThreadPool& pool)
    : maps_(header.maps),
      n_kv_head_(header.n_kv_head),
      group_(header.n_head / header.n_kv_head),
      n_map_(header.n_map),
      bin_(header.map_bin),
      n_column_(header.n_column),
      every_(header.measure_every),
      pool_width_(header.overlap_pool),
      info_(header),
      sizes_(schema::sizes_of(header)),
      n_unit_(static_cast<size_t>(header.n_stored()) * static_cast<size_t>(header.n_kv_head)),
      pool_(pool),
      before_(n_unit_),
      scratch_(static_cast<size_t>(pool.n_thread())) {}

void RowAnalysis::start(int32_t t, StepData& r) {
  // What is not written to stays 0 in a measured step, beyond the end of a row that is shorter than a map's.
  const bool measured = wants(t);
  schema::for_each_column([&]<class Column>(const schema::Dataset& row, Column column) {
    using T = schema::ElementOf<Column>;
    if (row.range.gaps != schema::Range::Gaps::not_measured || !is_stored(row, info_)) return;
    (r.*column).assign(sizes_.per_row(row), measured && !std::is_integral_v<T> ? T{} : schema::missing<T>());
  });
  // Steps that are not measured have no order to compare with.
  if (every_ != 1) std::fill(r.overlap.begin(), r.overlap.end(), schema::missing<float>());
}

void RowAnalysis::layer(int32_t index, int32_t n, std::span<const float> rows,
                        std::span<const std::span<const int32_t>> sets, StepData& record) {
  const int64_t reach = int64_t{n_column_} * (maps_ == Maps::binned ? bin_ : 1);
  if ((maps_ == Maps::dense || maps_ == Maps::binned) && n > reach) {
    fail({.where = "recording",
          .expected = "at most " + std::to_string(reach) + " positions, for which maps have room",
          .got = std::to_string(n)});
  }
  const int64_t n_overlap = every_ == 1 ? n_kv_head_ : 0;
  pool_.run(n_overlap + n_kv_head_, [&](int64_t task, int thread) {
    const int64_t g = task < n_overlap ? task : task - n_overlap;  // the longer tasks come first
    const size_t unit = static_cast<size_t>(index) * n_kv_head_ + g, n_row = static_cast<size_t>(group_) * n;
    Scratch& scratch = scratch_[static_cast<size_t>(thread)];
    if (task < n_overlap) return overlap(unit, n, rows.subspan(g * n_row, n_row), scratch, record);
    map(unit, n, rows.subspan(g * n_row, n_row), sets[static_cast<size_t>(g)], scratch, record);
  });
}

void RowAnalysis::map(size_t unit, int32_t n, std::span<const float> rows, std::span<const int32_t> set,
                      Scratch& scratch, StepData& r) const {
  if (scratch.mean.size() < static_cast<size_t>(n)) scratch.mean.resize(static_cast<size_t>(n) + 4096);
  float* const mean = scratch.mean.data();  // [n]
  Cpu::reduce_heads(rows.data(), group_, n, n, Reduce::mean, mean);
  // The oracle's choice begins with the map's.
  const auto n_set = static_cast<int32_t>(set.size());
  const int32_t n_best = std::max(n_set, maps_ == Maps::top ? n_map_ : 0);
  scratch.order.resize(static_cast<size_t>(std::min(n, n_best)));
  const int32_t* const order = scratch.order.data();  // [min(n, n_best)] rank order
  Cpu::top_k(mean, n, n_best, scratch.order.data());
  r.entropy[unit] = static_cast<float>(row_entropy(mean, n));
  r.recovered[unit] = set.empty() ? 1.0F : static_cast<float>(gather_sum(mean, set.data(), n_set));
  r.oracle[unit] = set.empty() ? 1.0F : static_cast<float>(gather_sum(mean, order, std::min(n, n_set)));
  switch (maps_) {
    case Maps::none:
      return;
    case Maps::top: {
      int32_t* const positions = r.map_positions.data() + unit * n_map_;  // [n_map]
      float* const weights = r.map_weights.data() + unit * n_map_;        // [n_map]
      const int32_t n_top = std::min(n, n_map_);
      std::copy_n(order, n_top, positions);
      std::transform(order, order + n_top, weights, [&](int32_t p) { return mean[p]; });
      r.map_rest[unit] = std::max(0.0F, static_cast<float>(1 - run_sum(weights, 0, n_top)));
      return;
    }
    case Maps::dense:
      return Cpu::store_kv(mean, n, KvType::f16, r.map_dense.data() + unit * n_column_);
    case Maps::binned:
      for (int32_t b = 0; b * bin_ < n; ++b) {
        r.map_binned[unit * n_column_ + b] = static_cast<float>(run_sum(mean, b * bin_, std::min(n, (b + 1) * bin_)));
      }
      return;
  }
}

/// Top-k sets of all sizes are prefixes of one rank order.
void RowAnalysis::overlap(size_t unit, int32_t n, std::span<const float> rows, Scratch& scratch, StepData& r) {
  const auto size = static_cast<size_t>(n);
  if (scratch.score.size() < size) {
    scratch.score.resize(size + 4096), scratch.pooled.resize(size + 4096), scratch.rank.resize(size + 4096, kNoRank);
  }
  Cpu::reduce_heads(rows.data(), group_, n, n, Reduce::max, scratch.score.data());
  Cpu::max_pool(scratch.score.data(), n, pool_width_, scratch.pooled.data());
  const auto largest = static_cast<int32_t>(*std::max_element(info_.overlap_k.begin(), info_.overlap_k.end()));
  std::vector<int32_t>& order = scratch.order;
  order.resize(static_cast<size_t>(std::min(largest, n)));
  Cpu::top_k(scratch.pooled.data(), n, largest, order.data());
  std::vector<int32_t>& before = before_[unit];
  if (!before.empty()) {
    int32_t* const rank = scratch.rank.data();  // [n]
    for (size_t i = 0; i < before.size(); ++i) rank[before[i]] = static_cast<int32_t>(i);
    for (size_t s = 0; s < info_.overlap_k.size(); ++s) {
      const auto k = static_cast<int32_t>(std::min<size_t>(info_.overlap_k[s], order.size()));
      int32_t both = 0;
      for (int32_t i = 0; i < k; ++i) both += rank[order[static_cast<size_t>(i)]] < info_.overlap_k[s] ? 1 : 0;
      r.overlap[unit * info_.overlap_k.size() + s] = static_cast<float>(both) / static_cast<float>(k);
    }
    for (const int32_t p : before) rank[p] = kNoRank;
  }
  before.assign(order.begin(), order.end());
}

}  // namespace reattend
