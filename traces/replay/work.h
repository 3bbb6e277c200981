// What a step reads, counted as the engine's backends count it.
#pragma once
#include "kernels/layout.h"
#include "policies/plan.h"
#include "traces/replay/replay.h"

namespace reattend {

/// Attention of one KV head; `packed`: its kept set, of n_kept entries, has been copied since it was chosen.
inline void count_attention(ReplayWork& work, const Branch& branch, const PositionSet& set, int32_t n_kept,
                            bool& packed) {
  work.run += set.size() - set.n_kept, work.kept += set.n_kept;
  if (branch.accumulate) work.ranked += set.size();
  if (set.n_kept == 0 || packed || !branch.leaves_kept() || branch.attend.rank_rotation) return;
  work.packed += n_kept;
  packed = true;
}

/// A choice for one KV head; `n_read`: keys read for it alone.
inline void count_choice(ReplayWork& work, const Select& select, int32_t n_candidate, int32_t n_read) {
  (select.by == Rank::pages ? work.bounds : work.ranked) += n_candidate;
  work.rescored += n_read;
}

}  // namespace reattend
