// A layer's plans, written once for all KV heads, and what they have in common.
#pragma once
#include <vector>

#include "policies/policy.h"
#include "replay/prepared.h"

namespace reattend {

/// Where the entries of kept sets stand.
enum class KeptFrom : uint8_t {
  rows,    ///< first entries of the ranking of a whole row (or nothing is kept)
  prompt,  ///< first entries of the one ranking that the prompt's last queries give
  lists,   ///< they depend on earlier choices: a walk makes each
};

/// Whether a choice of one KV head takes the first entries of the ranking of its whole row of n entries.
inline bool is_from_ranking(const Select& select, int32_t n) {
  return select.by == Rank::row && !select.shared && !select.from_kept && !select.ascending && select.begin == 0 &&
         select.end == n;
}

struct LayerPlans {
  /// Throws Error for a policy that the replay cannot carry out.
  LayerPlans(const Policy& policy, int32_t layer, int32_t n_prompt, int32_t n_step);
  const Plan& at(int32_t t) const { return steps[static_cast<size_t>(t) - 1]; }

  Select prompt;
  PromptNeeds needs;
  std::vector<Plan> steps;  ///< [T], index t - 1
  KeptFrom kept_from = KeptFrom::rows;
  bool compares = false;   ///< a kept set made from a row's ranking is held against later rankings
  bool shared = false;     ///< one kept set for all KV heads
  RankNeed rank;           ///< of choices that take the first entries of rows' rankings
  int32_t rank_depth = 0;  ///< at most so many of them
  int32_t set_depth = 1;   ///< no set that is not complete is larger
  int32_t kept_depth = 0;  ///< no kept set is larger
};

}  // namespace reattend
