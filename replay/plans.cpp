// Finds out, by one look at every plan, what has to be prepared and how decisions can be found.
#include "replay/plans.h"

#include <algorithm>
#include <string>

#include "base/error.h"

namespace reattend {
namespace {

/// The largest set that `attend` can mean at step t, at position p, with at most n_kept entries kept.
int32_t most_attended(const Attend& attend, int32_t n_kept, int32_t t, int32_t p) {
  if (attend.everything) return 0;
  const int32_t kept = attend.kept ? std::min(attend.keep, n_kept) : 0;
  // An ageing set gives up an entry for each token of the run behind its selected_at, and keeps every token of that
  // run.
  if (attend.kept && attend.ages && attend.from_selected) return attend.lead + std::max(kept + 1, t);
  return attend.lead + kept + std::max(0, attend.from_selected ? t + 1 - attend.tail : p + 1 - attend.tail);
}

/// No built-in policy: those of others' making (docs/add-a-policy.md).
[[noreturn]] void refuse(int32_t layer, const char* expected, const char* got) {
  fail({.where = "replay of layer " + std::to_string(layer),
        .expected = expected,
        .got = got,
        .remedy = "record under the policy, or compare it in the engine"});
}

}  // namespace

LayerPlans::LayerPlans(const Policy& policy, int32_t layer, int32_t n_prompt, int32_t n_step)
    : prompt(policy.prompt(layer)), needs(policy.needs()) {
  bool any = false, all_from_rows = true, any_in_steps = false, refreshed_before = true, with_current = false;
  int32_t n_kept = 0;
  const auto add = [&](const Select& select, int32_t n) {
    if (!select.chooses()) return;
    if (any && select.shared != shared) {
      refuse(layer, "choices of the whole layer, or of its KV heads", "a policy that makes both");
    }
    any = true, shared = select.shared;
    n_kept = std::max(n_kept, select.keep * select.page + (select.with_current ? 1 : 0));
    if (!is_from_ranking(select, n)) {
      all_from_rows = false;
      return;
    }
    const RankNeed need = {.present = true, .reduce = select.reduce, .pool = select.pool};
    if (rank.present && rank != need) {
      refuse(layer, "one way to rank rows", "a policy with two (reduce, pool)");
    }
    rank = need, rank_depth = std::max(rank_depth, select.keep);
  };
  add(prompt, n_prompt);
  steps.reserve(static_cast<size_t>(n_step));
  for (int32_t t = 1; t <= n_step; ++t) {
    const Plan& plan = steps.emplace_back(policy.plan(layer, t));
    for (const Branch* branch : {&plan.branch, &plan.else_branch}) {
      if (branch == &plan.else_branch && !plan.gated) continue;
      add(branch->before, n_prompt + t), add(branch->after, n_prompt + t);
      if (branch->before.chooses() && branch->after.chooses()) {
        refuse(layer, "a choice before a step's attention or after it", "a policy that chooses twice in a step");
      }
      any_in_steps = any_in_steps || branch->before.chooses() || branch->after.chooses() || branch->accumulate;
      refreshed_before = refreshed_before && branch->before.chooses();
      with_current = with_current || branch->before.with_current || branch->after.with_current;
      all_from_rows = all_from_rows && !branch->accumulate;
      const int32_t p = n_prompt - 1 + t, most = most_attended(branch->attend, n_kept, t, p);
      if (most <= p) set_depth = std::max(set_depth, most);  // otherwise it is complete, or nearly
    }
    if (shared && plan.gated && plan.compare.per_kv_head) {
      refuse(layer, "KV heads that share a set or decide alone", "a policy whose KV heads do both");
    }
  }
  const int32_t n_last = n_prompt + n_step;
  rank_depth = std::min(rank_depth, n_last), set_depth = std::min(set_depth, n_last);
  kept_depth = std::min(n_kept, n_last);
  // The step's own position stands behind the ranking's entries, where no later step looks for it.
  all_from_rows = all_from_rows && !prompt.with_current && (!with_current || refreshed_before);
  const bool once = prompt.by == Rank::window && !prompt.shared && !prompt.ascending && !prompt.with_current &&
                    prompt.begin == 0 && !any_in_steps;
  kept_from = all_from_rows ? KeptFrom::rows : once ? KeptFrom::prompt : KeptFrom::lists;
  compares = all_from_rows && rank.present && !refreshed_before;
}

}  // namespace reattend
