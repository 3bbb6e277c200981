// What a policy does at every step of a recorded layer, before any of it is measured.
#pragma once
#include <algorithm>
#include <memory>
#include <vector>

#include "replay/plans.h"
#include "replay/replay.h"
#include "replay/work.h"

namespace reattend {

/// What one KV head does at one step. The kept set that it attends with (after a choice that comes before) is that of
/// step `kept_step`, cut to `keep`.
struct Decision {
  bool takes_else = false;  ///< the plan's second branch
  int32_t kept_step = -1;   ///< step that chose the kept set; -1: there is none
  int32_t keep = 0;         ///< its entries; the step's own position may stand behind them (Select::with_current)
  int32_t asked = 0;        ///< as many would be kept if there were as many
  float cosine = 0;         ///< nan where the policy compares nothing
};

/// Of all steps of a layer, or of some of them. Where kept sets are first entries of rankings, none of them needs to be
/// made to decide.
struct Decisions {
  Steps range;                  ///< the first is at least 1
  std::vector<Decision> steps;  ///< [range][n_kv_head]
  /// [1 + range][n_unit]: the set that was kept before the range, then those that its steps chose; of KeptFrom::lists
  /// alone.
  std::vector<std::vector<int32_t>> kept;
  int32_t n_unit = 0;  ///< n_kv_head, or 1 where all KV heads keep the same
  CountedWork work;

  const Decision& at(int32_t t, int32_t kv_head, int32_t n_kv_head) const {
    return steps[static_cast<size_t>(t - range.first) * n_kv_head + kv_head];
  }
  /// What the last choice up to `step` keeps.
  const std::vector<int32_t>& kept_of(int32_t kv_head, int32_t step) const {
    const int32_t place = std::max(0, step - range.first + 1);
    return kept[static_cast<size_t>(place) * n_unit + (n_unit == 1 ? 0 : kv_head)];
  }
};

/// What policies may need of the prompt beyond keys and values; only what is asked for is there.
struct PromptData {
  std::vector<float> row_sums;  ///< [n_head][L]
  std::vector<float> queries;   ///< [W][n_head][d_head] post-RoPE, the last one step 0's
};

/// Decides step after step, some of them at a time.
class Simulation {
 public:
  virtual ~Simulation() = default;
  /// Of the steps that follow those decided so far. The layer must hold what the plans need of them.
  virtual Decisions decide(Steps steps, const Cancel& cancel) = 0;
  /// [n_kv_head] the steps whose rankings the next steps may attend with; -1: none.
  virtual std::vector<int32_t> open_rankings() const = 0;
};

/// All of this must outlive it.
std::unique_ptr<Simulation> simulate(const LayerPlans& plans, PreparedLayer& prepared, const PromptData& prompt,
                                     ThreadPool& pool);

inline const Branch& branch_of(const Plan& plan, const Decision& decision) {
  return decision.takes_else ? plan.else_branch : plan.branch;
}

/// Entries of the kept set as the branch attends with it, where it is the beginning of a ranking.
template <class Layer>
int32_t n_entry(const Branch& branch, const Decision& decision, const Layer& layer, int32_t kv_head, int32_t t) {
  if (!branch.before.with_current) return decision.keep;
  return decision.keep + (layer.rank_of_current(kv_head, t) < decision.keep ? 0 : 1);
}

/// Where kept sets are first entries of rankings, which need not be known to decide. A Layer has what PreparedLayer has
/// of these names: n_kv_head(), position(), compare() and rank_of_current().
template <class Layer>
class RankingSimulation final : public Simulation {
 public:
  RankingSimulation(const LayerPlans& plans, Layer& layer)
      : plans_(plans),
        layer_(layer),
        state_(static_cast<size_t>(layer.n_kv_head())),
        packed_(static_cast<size_t>(layer.n_kv_head()), 0) {
    for (int32_t g = 0; plans.prompt.chooses() && g < layer.n_kv_head(); ++g) select(g, 0, plans.prompt);
  }

  Decisions decide(Steps range, const Cancel& cancel) override {
    const int32_t n_kv = layer_.n_kv_head();
    Decisions out{.range = range,
                  .steps = std::vector<Decision>(static_cast<size_t>(range.size()) * n_kv),
                  .kept = {},
                  .work = {}};
    for (int32_t t = range.first; t <= range.last; ++t) {
      cancel.check();
      const Plan& plan = plans_.at(t);
      for (int32_t g = 0; g < n_kv; ++g) {
        Decision& now = state_[static_cast<size_t>(g)];
        const bool same = g > 0 && !plan.compare.per_kv_head && now.kept_step == state_[0].kept_step;
        now.cosine = same ? state_[0].cosine : layer_.compare(plan.compare, g, t, now.kept_step);
        now.takes_else = plan.gated && !stays(plan, now.cosine);
      }
      for (int32_t g = 0; g < n_kv; ++g) {
        step(g, t, plan, out.steps[static_cast<size_t>(t - range.first) * n_kv + g], out.work);
      }
    }
    return out;
  }

  std::vector<int32_t> open_rankings() const override {
    std::vector<int32_t> steps;
    for (const Decision& each : state_) steps.push_back(each.kept_step);
    return steps;
  }

 private:
  void select(int32_t g, int32_t t, const Select& what) {
    Decision& of = state_[static_cast<size_t>(g)];
    of.kept_step = t, of.asked = what.keep, of.keep = std::min(what.keep, what.end - what.begin);
    packed_[static_cast<size_t>(g)] = 0;
  }

  void step(int32_t g, int32_t t, const Plan& plan, Decision& out, CountedWork& work) {
    const int32_t p = layer_.position(t);
    Decision& now = state_[static_cast<size_t>(g)];
    const Branch& branch = branch_of(plan, now);
    if (branch.before.chooses()) {
      select(g, t, branch.before);
      count_choice(work, branch.before, p + 1, p + 1);
    }
    out = now;
    const int32_t selected_at = now.kept_step < 0 ? -1 : layer_.position(now.kept_step);
    const PositionSet set = resolve(branch.attend, nullptr, n_entry(branch, now, layer_, g, t), selected_at, p);
    bool packed = packed_[static_cast<size_t>(g)] != 0;
    count_attention(work, branch, set, now.keep, packed);
    packed_[static_cast<size_t>(g)] = packed ? 1 : 0;
    if (!branch.after.chooses()) return;
    count_choice(work, branch.after, p + 1, set.size() == p + 1 ? 0 : p + 1);
    select(g, t, branch.after);
  }

  const LayerPlans& plans_;
  Layer& layer_;
  std::vector<Decision> state_;  ///< [n_kv_head] after the last step that was decided
  std::vector<uint8_t> packed_;  ///< [n_kv_head]
};

}  // namespace reattend
