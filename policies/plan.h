// A plan: what one layer attends to at one step and what it learns from it, as data that any executor carries out.
#pragma once
#include <cstdint>

#include "kernels/layout.h"
#include "kernels/selection.h"

namespace reattend {

/// Which positions are attended to: everything, or [0, lead) ∪ a prefix of the kept set ∪ [tail, p]. What depends on
/// when the kept set was made refers to its stamp, which lives beside the set: so a plan can be written before a
/// gate's outcome is known, and a device never has to tell it to the host.
struct Attend {
  bool everything = false;
  int32_t lead = 0;
  bool kept = false;         ///< attend to the kept set's first entries: `keep`, or with `ages` keep - (p - stamp) + 1
  int32_t keep = 0;
  bool ages = false;
  int32_t tail = 0;          ///< the run [tail, p]; with `after_stamp` [stamp + 1, p]
  bool after_stamp = false;
  bool rank_rotation = false;  ///< keys rotated by their rank in the (sorted) set, the query having the last rank
};

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
constexpr bool stays(double cosine, double threshold) { return cosine > threshold; }

/// The positions that `attend` means at position p (which is always among them), given the kept set as it stands:
/// its entries in rank order, how many, and the position of the step that made it. Complete sets come out as the run 0..p.
constexpr PositionSet resolve(const Attend& attend, const int32_t* kept, int32_t n_kept, int32_t stamp, int32_t p) {
  if (attend.everything) return everything_up_to(p + 1);
  PositionSet set{.lead = attend.lead};
  if (attend.kept) {
    const int32_t limit = attend.ages ? attend.keep - (p - stamp) + 1 : attend.keep;
    set.kept = kept;
    set.n_kept = limit < 0 ? 0 : limit < n_kept ? limit : n_kept;
  }
  set.tail = attend.after_stamp ? stamp + 1 : attend.tail;
  set.end = p + 1;
  return set.size() == p + 1 ? everything_up_to(p + 1) : set;
}

}  // namespace reattend
