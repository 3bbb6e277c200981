// How far a layer's query moves: its cosine to the step before and to the last refresh, before and after RoPE.
#pragma once
#include <array>
#include <span>
#include <vector>

#include "replay/analysis/spread.h"
#include "replay/prepared.h"

namespace reattend {

/// The two stages in the order of everything here.
inline constexpr std::array<QueryStage, 2> kStages = {QueryStage::pre_rope, QueryStage::post_rope};

/// Whose queries are compared, and how.
struct CosineRule {
  Similarity how = Similarity::mean_query;
  bool per_kv_head = false;  ///< each KV head's own group; otherwise one cosine for the layer

  int32_t n_unit(const PreparedLayer& prepared) const { return per_kv_head ? prepared.n_kv_head() : 1; }
  double operator()(const PreparedLayer& prepared, QueryStage stage, int32_t unit, int32_t t, int32_t reference) const;
};

/// reference 0 is the step before, i + 1 the last full step before t of the fixed schedule with strides[i].
struct LayerCosine {
  int32_t layer = 0, n_step = 0, n_unit = 0;
  size_t n_reference = 0;
  std::vector<float> all;  ///< [stages][n_reference][T][n_unit]
};

/// Throws Error (usage) for a stride below 1.
LayerCosine cosines(const PreparedLayer& prepared, int32_t layer, std::span<const int32_t> strides,
                    const CosineRule& rule, ThreadPool& threads, const Cancel& cancel);

/// Over steps (and KV heads) of some layers.
Spread cosine_spread(std::span<const LayerCosine> layers, size_t stage, size_t reference);

}  // namespace reattend
