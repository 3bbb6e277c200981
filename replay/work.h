// What a step reads, counted as the engine's backends count it.
#pragma once
#include <algorithm>

#include "kernels/layout.h"
#include "policies/plan.h"
#include "replay/replay.h"

namespace reattend {

/// Attention of one KV head; `packed`: its kept set, of n_kept entries, has been copied since it was chosen.
inline void count_attention(CountedWork& work, const Branch& branch, const PositionSet& set, int32_t n_kept,
                            bool& packed) {
  work.run += set.size() - set.n_kept, work.kept += set.n_kept;
  if (branch.accumulate) work.summed += set.size();
  if (set.n_kept == 0 || packed) return;
  if (!branch.leaves_kept() || branch.attend.rank_rotation) {
    work.in_place += set.n_kept;
    return;
  }
  work.packed += n_kept;
  packed = true;
}

/// What a choice reads of a sketch.
struct SketchRead {
  int64_t bytes = 0;
  int32_t n_block = 0;
};

/// A choice for one KV head; `n_read`: keys read for it alone.
inline void count_choice(CountedWork& work, const Select& select, int32_t n_candidate, int32_t n_read,
                         const SketchRead& sketch = {}) {
  work.rescored += n_read;
  if (select.by == Rank::sketch) {
    // Channels were timed at 2 bits.
    work.estimated += n_candidate;
    work.looked_up += static_cast<double>(n_candidate) * select.sketch.channels * select.sketch.bits / 2;
    work.blocks += sketch.n_block;
    work.sketch_bytes += static_cast<double>(sketch.bytes);
    return;
  }
  if (select.by == Rank::pages) {
    work.bounds += n_candidate;
  } else if (select.by == Rank::row || select.by == Rank::vote) {
    work.ranked += n_candidate, work.chosen += std::min(select.keep, n_candidate);
  } else {
    work.summed += n_candidate;
  }
}

}  // namespace reattend
