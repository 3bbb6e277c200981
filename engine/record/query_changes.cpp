// Compares the mean over all query heads with that of the step before, on both sides of RoPE.
#include "engine/record/query_changes.h"

#include <limits>

#include "kernels/cpu/ops.h"

namespace reattend {

QueryChanges::QueryChanges(const ModelShape& shape)
    : shape_(shape), pre_rope_(static_cast<size_t>(shape.n_layer)), post_rope_(static_cast<size_t>(shape.n_layer)) {}

QueryChanges::Cosines QueryChanges::next(const LayerView& view) {
  const auto layer = static_cast<size_t>(view.layer());
  return {.pre_rope = change(pre_rope_[layer], view.queries(QueryStage::pre_rope)),
          .post_rope = change(post_rope_[layer], view.queries(QueryStage::post_rope))};
}

float QueryChanges::change(std::vector<float>& before, std::span<const float> now) const {
  const float cosine =
      before.empty() ? std::numeric_limits<float>::quiet_NaN()
                     : Cpu::similarity(now.data(), before.data(), shape_.n_head, shape_.d_head, Similarity::mean_query);
  before.assign(now.begin(), now.end());
  return cosine;
}

}  // namespace reattend
