// How often layers really refresh: as recorded, and under the query schedule at several thresholds.
#pragma once
#include <span>
#include <vector>

#include "replay/analysis/cosine.h"
#include "replay/replay.h"

namespace reattend {

/// Decisions and how many of them were full; stride() is the effective stride, infinity where none was full.
struct Refreshes {
  int64_t n = 0, n_full = 0;
  double stride() const {
    if (n == 0) return Spread::kNone;
    return n_full > 0 ? static_cast<double>(n) / static_cast<double>(n_full) : std::numeric_limits<double>::infinity();
  }
  void add(const Refreshes& other) { n += other.n, n_full += other.n_full; }
};
Refreshes refreshes_of(std::span<const uint8_t> full);
/// Of one layer of a recording: steps.full is [T][n_layer][n_kv_head].
Refreshes recorded_refreshes(const TraceInfo& info, const StepData& steps, int32_t layer);

/// One threshold of the query schedule.
struct GatedRun {
  size_t stage = 0;  ///< of kStages
  double threshold = 0;
  Refreshes refreshes;
  double recovered = 0, normalised = 0;  ///< means over steps and KV heads
};

struct LayerStride {
  int32_t layer = 0;
  Refreshes recorded;
  std::vector<GatedRun> runs;  ///< [stages][thresholds]
};

/// Replays `base` (recycled) with schedule = query at every threshold, on queries before and after RoPE.
LayerStride query_strides(Replayer& replayer, int32_t layer, const Settings& base, std::span<const double> thresholds,
                          const Cancel& cancel);

}  // namespace reattend
