// How concentrated attention is: the mass of a row's K highest weights, and how many hold a given share.
#pragma once
#include <span>
#include <vector>

#include "replay/analysis/row_tops.h"
#include "replay/analysis/spread.h"

namespace reattend {

struct CoverageRequest {
  std::vector<int32_t> budgets;  ///< K >= 1; all of a row where it is shorter
  std::vector<double> levels;    ///< shares of a row's mass, above 0 and at most 1
};

/// Of the group-mean rows of steps 1..T, each with its own best positions: what the oracle of that K recovers.
struct LayerCoverage {
  int32_t layer = 0, n_step = 0, n_kv_head = 0;
  std::vector<float> mass;    ///< [budgets][T][n_kv_head]
  std::vector<float> needed;  ///< [levels][T][n_kv_head] least number of positions that hold the share
};

LayerCoverage coverage(const PreparedLayer& prepared, int32_t layer, const CoverageRequest& request,
                       ThreadPool& threads, const Cancel& cancel);

/// Over steps and KV heads of some layers, of the `index`-th budget (`mass`) or level (`needed`).
Spread coverage_spread(std::span<const LayerCoverage> layers, std::vector<float> LayerCoverage::*what, size_t index);

}  // namespace reattend
