// What a policy does at every step of a recorded layer, before any of it is measured.
#pragma once
#include <vector>

#include "policies/policy.h"
#include "traces/replay/prepared.h"
#include "traces/replay/replay.h"

namespace reattend {

/// What one KV head does at one step. The kept set that it attends with (after a choice that comes before) is that of
/// step `kept_step`, cut to `keep`.
struct Decision {
  bool otherwise = false;  ///< the plan's second branch
  int32_t kept_step = -1;  ///< step that chose the kept set; -1: there is none
  int32_t keep = 0;
  float cosine = 0;  ///< nan where the policy compares nothing
};

/// All of a layer. Kept sets are prefixes of rankings where every choice is the top of a whole row, which needs none of
/// the rows themselves here; otherwise `kept` holds them.
struct Decisions {
  std::vector<Decision> steps;             ///< [T][n_kv_head], index t - 1
  RankNeed rank;                           ///< what kept sets are chosen by
  int32_t depth = 1;                       ///< the largest kept or partial set
  std::vector<std::vector<int32_t>> kept;  ///< [T + 1][n_unit] by the step that chose them; empty: the rankings
  int32_t n_unit = 0;                      ///< n_kv_head, or 1 where all KV heads keep the same
  ReplayWork work;

  bool are_rankings() const { return kept.empty(); }
  const std::vector<int32_t>& kept_of(int32_t kv_head, int32_t step) const {
    return kept[static_cast<size_t>(step) * n_unit + (n_unit == 1 ? 0 : kv_head)];
  }
};

/// What policies may need of the prompt beyond keys and values; only what is asked for is there.
struct PromptData {
  std::vector<float> row_sums;  ///< [n_head][L]
  std::vector<float> queries;   ///< [W][n_head][d_head] post-RoPE, the last one step 0's
};

/// Prepares the rankings that choices before the attention are made from; measure() needs more.
Decisions decide(const Policy& policy, int32_t layer, PreparedLayer& prepared, const PromptData& prompt,
                 ThreadPool& pool, const Cancel& cancel);

/// Whether a choice of one KV head is a prefix of the ranking of its whole row of n entries.
inline bool is_from_ranking(const Select& select, int32_t n) {
  return select.by == Rank::row && !select.shared && !select.from_kept && !select.ascending && select.begin == 0 &&
         select.end == n;
}

inline const Branch& branch_of(const Plan& plan, const Decision& decision) {
  return decision.otherwise ? plan.otherwise : plan.branch;
}
/// Similarity of step t's query to that of step `reference`, which chose the KV head's set; nan where there is none.
float compare(const Comparison& how, const PreparedLayer& prepared, int32_t kv_head, int32_t t, int32_t reference);

}  // namespace reattend
