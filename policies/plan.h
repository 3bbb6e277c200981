// A plan: what one layer attends to at one step and what it learns from it, as data that any executor carries out.
#pragma once
#include <cstdint>

#include "kernels/layout.h"
#include "kernels/selection.h"

namespace reattend {

/// One way a step can go, in this order. A choice replaces the kept set, sets its selected_at to p and the reference
/// query to this step's.
struct Branch {
  Select before;  ///< a choice that this step already attends to
  Attend attend;
  Select after;             ///< a choice that acts from the next step on
  bool accumulate = false;  ///< this step's rows over what it attended to join the sums
  bool full = false;        ///< counts as a full step (a refresh)
  /// Positions [forget_begin, forget_end) that neither this nor any later step attends to: a cache may drop them.
  int32_t forget_begin = 0, forget_end = 0;

  /// The kept set stays as it is, so copies of its rows made now serve later steps.
  constexpr bool leaves_kept() const { return !before.chooses() && !after.chooses(); }
};

/// How this step's query is compared with the reference query, that of the last choice. Measured at every step when
/// recording; needed in a fast run only where `gated`.
struct Comparison {
  bool present = false;  ///< the policy has a reference query
  Similarity how = Similarity::mean_query;
  QueryStage stage = QueryStage::pre_rope;
  bool per_kv_head = false;  ///< each KV head compares its own group; otherwise one cosine decides for the layer
};

/// Ungated: `branch` is carried out. Gated: a KV head takes `branch` iff stays(), otherwise `otherwise`.
struct Plan {
  Comparison compare;
  bool gated = false;
  double threshold = 0;
  bool or_equal = false;  ///< a cosine equal to the threshold stays too
  Branch branch;
  Branch else_branch;
};

/// What a gate decides: the same comparison on every executor. Without a reference query (nan) nothing stays.
constexpr bool stays(const Plan& plan, double cosine) {
  return plan.or_equal ? cosine >= plan.threshold : cosine > plan.threshold;
}

}  // namespace reattend
