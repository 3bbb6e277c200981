// What full attention rows say, step after step: maps, masses, and the overlap with the step before.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "traces/write/trace_header.h"

namespace reattend {

/// Works on one layer at a time, as soon as its rows are known: on the pool, between two operations of the decode loop.
/// A thread of its own would compete with the loop's for the cores, and rows of a whole step (9 MB at 8,000 positions
/// of SmolLM2) would leave the caches.
class RowAnalysis {
 public:
  RowAnalysis(const TraceHeader& header, ThreadPool& pool);

  /// Whether rows of step t are looked at; of step 0 they are where step 1 is compared with it.
  bool wants(int32_t t) const { return every_ > 0 && t % every_ == 0 && (t > 0 || every_ == 1); }
  /// Room in the record for step t, filled with what unmeasured steps hold.
  void start(int32_t t, StepRecord& record);
  /// `index` counts the stored layers; rows [n_kv_head][group][n]; sets [n_kv_head] attended positions, empty: all.
  void layer(int32_t index, int32_t n, std::span<const float> rows, std::span<const std::span<const int32_t>> sets,
             StepRecord& record);

 private:
  struct Scratch {
    std::vector<float> mean, score, pooled;
    std::vector<int32_t> order, rank;  ///< rank [n]: place in the order of the step before, kNoRank elsewhere
  };
  void map(size_t unit, int32_t n, std::span<const float> rows, std::span<const int32_t> set, Scratch& scratch,
           StepRecord& record) const;
  void overlap(size_t unit, int32_t n, std::span<const float> rows, Scratch& scratch, StepRecord& record);

  const Maps maps_;
  const int32_t n_kv_head_, group_, n_map_, bin_, n_column_, every_, pool_width_;
  const size_t n_unit_;  ///< stored layers x KV heads
  ThreadPool& pool_;
  std::vector<std::vector<int32_t>> before_;  ///< [n_unit] rank order of the step before
  std::vector<Scratch> scratch_;              ///< [n_thread]
};

}  // namespace reattend
