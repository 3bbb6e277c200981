// How a kept set ages: its overlap with the set of `lag` steps later, and the mass that it still finds there.
#pragma once
#include <vector>

#include "replay/analysis/row_tops.h"
#include "replay/analysis/spread.h"

namespace reattend {

struct OverlapRequest {
  std::vector<int32_t> lags;     ///< >= 1
  std::vector<int32_t> budgets;  ///< K >= 1
  Reduce reduce = Reduce::max;
  int32_t pool = 7;
};

/// T(t) is the top-K of step t's scores, a the group-mean row of step t, j the lag. All nan where t < j.
struct AgedSet {
  float overlap;   ///< |T(t - j) and T(t)| / |T(t)|
  float stale;     ///< mass of a on T(t - j) alone
  float attended;  ///< mass of a on what recycled attends to j steps after a refresh: top-(K - j + 1) of T(t - j) and
                   ///< the j positions since
  float oracle;    ///< mass of the K highest entries of a
  float attended_oracle;  ///< of as many as `attended` counts (K + 1, or j where j > K)
};

struct LayerOverlap {
  int32_t layer = 0, n_step = 0, n_kv_head = 0;
  std::vector<int32_t> lags, budgets;
  std::vector<AgedSet> all;  ///< [lags][budgets][T][n_kv_head], step t at t - 1

  const AgedSet* of(size_t lag, size_t budget) const {  ///< [T][n_kv_head]
    return all.data() + (lag * budgets.size() + budget) * static_cast<size_t>(n_step) * n_kv_head;
  }
};

/// Throws Error (usage) for a lag or budget below 1.
LayerOverlap overlap_by_lag(const PreparedLayer& prepared, int32_t layer, const OverlapRequest& request,
                            ThreadPool& threads, const Cancel& cancel);

/// Over all steps and KV heads of some layers, which have the same lags and budgets.
struct AgedMeans {
  int64_t n = 0;
  double overlap = Spread::kNone, stale = Spread::kNone, attended = Spread::kNone, oracle = Spread::kNone;
  double stale_of_oracle = Spread::kNone;  ///< mean of stale / oracle
  Spread attended_of_oracle;               ///< of attended / attended_oracle, the normalised mass
};
AgedMeans aged_means(std::span<const LayerOverlap> layers, size_t lag, size_t budget);

}  // namespace reattend
