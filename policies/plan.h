// A plan: what one layer attends to at one step and what it learns from it, as data that any executor carries out.
#pragma once
#include <cstdint>

#include "kernels/layout.h"
#include "kernels/selection.h"

namespace reattend {

/// What happens once the step's attention is done; it acts on choices from the next step on.
struct After {
  bool select = false;  ///< row -> reduce -> pool -> top-`keep` -> kept set, stamp := p, reference query := this query
  Reduce reduce = Reduce::max;
  int32_t pool = 1;
  int32_t keep = 0;
};

/// One way a step can go.
struct Branch {
  Attend attend;
  After after;
  bool full = false;  ///< counts as a full step (a refresh)
};

/// How this step's query is compared with the reference query of the kept set. Measured at every step when recording;
/// needed in a fast run only where `gated`.
struct Comparison {
  bool present = false;  ///< the policy has a reference query
  Similarity how = Similarity::mean_query;
  QueryStage stage = QueryStage::pre_rope;
  bool per_kv_head = false;  ///< each KV head compares its own group; otherwise one cosine decides for the layer
};

/// Ungated: `branch` is carried out. Gated: a KV head takes `branch` iff cosine > threshold, otherwise `otherwise`.
struct Plan {
  Comparison compare;
  bool gated = false;
  double threshold = 0;
  Branch branch;
  Branch otherwise;
};

/// What a gate decided: the same comparison on every executor.
constexpr bool stays(double cosine, double threshold) {
  return cosine > threshold;
}

}  // namespace reattend
