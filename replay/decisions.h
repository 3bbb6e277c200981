// What a policy does at every step of a recorded layer, before any of it is measured.
#pragma once
#include <algorithm>
#include <vector>

#include "replay/plans.h"
#include "replay/replay.h"
#include "replay/work.h"

namespace reattend {

/// What one KV head does at one step. The kept set that it attends with (after a choice that comes before) is that of
/// step `kept_step`, cut to `keep`.
struct Decision {
  bool otherwise = false;  ///< the plan's second branch
  int32_t kept_step = -1;  ///< step that chose the kept set; -1: there is none
  int32_t keep = 0;        ///< its entries; the step's own position may stand behind them (Select::with_current)
  int32_t asked = 0;       ///< as many would be kept if there were as many
  float cosine = 0;        ///< nan where the policy compares nothing
};

/// All of a layer. Where kept sets are first entries of rankings, none of them needs to be made to decide.
struct Decisions {
  std::vector<Decision> steps;             ///< [T][n_kv_head], index t - 1
  std::vector<std::vector<int32_t>> kept;  ///< [T + 1][n_unit] by the step that chose them; of KeptFrom::lists alone
  int32_t n_unit = 0;                      ///< n_kv_head, or 1 where all KV heads keep the same
  CountedWork work;

  const std::vector<int32_t>& kept_of(int32_t kv_head, int32_t step) const {
    return kept[static_cast<size_t>(step) * n_unit + (n_unit == 1 ? 0 : kv_head)];
  }
};

/// What policies may need of the prompt beyond keys and values; only what is asked for is there.
struct PromptData {
  std::vector<float> row_sums;  ///< [n_head][L]
  std::vector<float> queries;   ///< [W][n_head][d_head] post-RoPE, the last one step 0's
};

/// `prepared` must hold what the plans need.
Decisions decide(const LayerPlans& plans, PreparedLayer& prepared, const PromptData& prompt, ThreadPool& pool,
                 const Cancel& cancel);

inline const Branch& branch_of(const Plan& plan, const Decision& decision) {
  return decision.otherwise ? plan.otherwise : plan.branch;
}

/// Entries of the kept set as the branch attends with it, where it is the beginning of a ranking.
template <class Layer>
int32_t n_entry(const Branch& branch, const Decision& decision, const Layer& layer, int32_t kv_head, int32_t t) {
  if (!branch.before.with_current) return decision.keep;
  return decision.keep + (layer.rank_of_current(kv_head, t) < decision.keep ? 0 : 1);
}

/// Where kept sets are first entries of rankings, which need not be known to decide. A Layer has what PreparedLayer has
/// of these names: n_kv_head(), n_step(), position(), compare() and rank_of_current().
template <class Layer>
Decisions decide_by_rankings(const LayerPlans& plans, Layer& layer) {
  const int32_t n_kv = layer.n_kv_head();
  Decisions all{.steps = std::vector<Decision>(static_cast<size_t>(layer.n_step()) * n_kv), .kept = {}, .work = {}};
  std::vector<Decision> state(static_cast<size_t>(n_kv));
  std::vector<uint8_t> packed(static_cast<size_t>(n_kv), 0);
  const auto select = [&](int32_t g, int32_t t, const Select& what) {
    Decision& of = state[static_cast<size_t>(g)];
    of.kept_step = t, of.asked = what.keep, of.keep = std::min(what.keep, what.end - what.begin);
    packed[static_cast<size_t>(g)] = 0;
  };
  for (int32_t g = 0; plans.prompt.chooses() && g < n_kv; ++g) select(g, 0, plans.prompt);
  for (int32_t t = 1; t <= layer.n_step(); ++t) {
    const Plan& plan = plans.at(t);
    const int32_t p = layer.position(t);
    for (int32_t g = 0; g < n_kv; ++g) {
      Decision& now = state[static_cast<size_t>(g)];
      const bool same = g > 0 && !plan.compare.per_kv_head && now.kept_step == state[0].kept_step;
      now.cosine = same ? state[0].cosine : layer.compare(plan.compare, g, t, now.kept_step);
      now.otherwise = plan.gated && !stays(plan, now.cosine);
    }
    for (int32_t g = 0; g < n_kv; ++g) {
      Decision& now = state[static_cast<size_t>(g)];
      const Branch& branch = branch_of(plan, now);
      if (branch.before.chooses()) {
        select(g, t, branch.before);
        count_choice(all.work, branch.before, p + 1, p + 1);
      }
      all.steps[static_cast<size_t>(t - 1) * n_kv + g] = now;
      const int32_t stamp = now.kept_step < 0 ? -1 : layer.position(now.kept_step);
      const PositionSet set = resolve(branch.attend, nullptr, n_entry(branch, now, layer, g, t), stamp, p);
      bool is_packed = packed[static_cast<size_t>(g)] != 0;
      count_attention(all.work, branch, set, now.keep, is_packed);
      packed[static_cast<size_t>(g)] = is_packed ? 1 : 0;
      if (!branch.after.chooses()) continue;
      count_choice(all.work, branch.after, p + 1, set.size() == p + 1 ? 0 : p + 1);
      select(g, t, branch.after);
    }
  }
  return all;
}

}  // namespace reattend
