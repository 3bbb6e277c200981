// Choices that are the top of whole rows follow from queries and rankings alone; all others take a walk.
#include "traces/replay/decisions.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "kernels/cpu/ops.h"
#include "traces/replay/walk.h"
#include "traces/replay/work.h"

namespace reattend {
namespace {

/// The best of a whole row of n entries, in rank order.
bool is_top_of_row(const Select& select, int32_t n) {
  return is_from_ranking(select, n) && !select.with_current;
}

bool is_simple(const Branch& branch, int32_t n) {
  return !branch.before.chooses() && !branch.accumulate && (!branch.after.chooses() || is_top_of_row(branch.after, n));
}

/// Whether every choice of the layer comes after its attention and is the top of a row.
bool follows_from_rankings(const Policy& policy, int32_t layer, const PreparedLayer& prepared) {
  const Select prompt = policy.prompt(layer);
  if (prompt.chooses() && !is_top_of_row(prompt, prepared.n_row(0))) return false;
  for (int32_t t = 1; t <= prepared.n_step(); ++t) {
    const Plan plan = policy.plan(layer, t);
    if (!is_simple(plan.branch, prepared.n_row(t)) || !is_simple(plan.otherwise, prepared.n_row(t))) return false;
  }
  return true;
}

Decisions decide_by_rankings(const Policy& policy, int32_t layer, const PreparedLayer& prepared) {
  const int32_t n_kv = prepared.n_kv_head();
  const Select prompt = policy.prompt(layer);
  Decisions all{.steps = std::vector<Decision>(static_cast<size_t>(prepared.n_step()) * n_kv),
                .rank = {.present = prompt.chooses(), .reduce = prompt.reduce, .pool = prompt.pool}};
  std::vector<Decision> state(static_cast<size_t>(n_kv));
  std::vector<uint8_t> packed(static_cast<size_t>(n_kv), 0);
  const auto select = [&](int32_t g, int32_t t, const Select& after) {
    const RankNeed rank = {.present = true, .reduce = after.reduce, .pool = after.pool};
    if (!all.rank.present) all.rank = rank;
    if (all.rank != rank) throw Error("replay: a policy that ranks one layer in two ways is not supported");
    Decision& of = state[static_cast<size_t>(g)];
    of.kept_step = t, of.keep = after.keep;
    packed[static_cast<size_t>(g)] = 0;
    all.depth = std::max(all.depth, std::min(after.keep, prepared.n_row(prepared.n_step())));
  };
  for (int32_t g = 0; prompt.chooses() && g < n_kv; ++g) select(g, 0, prompt);
  for (int32_t t = 1; t <= prepared.n_step(); ++t) {
    const Plan plan = policy.plan(layer, t);
    for (int32_t g = 0; g < n_kv; ++g) {
      Decision& now = state[static_cast<size_t>(g)];
      const bool same = g > 0 && !plan.compare.per_kv_head && now.kept_step == state[0].kept_step;
      now.cosine = same ? state[0].cosine : compare(plan.compare, prepared, g, t, now.kept_step);
      now.otherwise = plan.gated && !stays(plan, now.cosine);
      all.steps[static_cast<size_t>(t - 1) * n_kv + g] = now;
    }
    for (int32_t g = 0; g < n_kv; ++g) {
      const Decision& now = state[static_cast<size_t>(g)];
      const Branch& branch = branch_of(plan, now);
      const int32_t p = prepared.position(t), stamp = now.kept_step < 0 ? -1 : prepared.position(now.kept_step);
      const int32_t n_kept = now.kept_step < 0 ? 0 : std::min(now.keep, prepared.n_row(now.kept_step));
      const PositionSet set = resolve(branch.attend, nullptr, n_kept, stamp, p);
      const bool complete = set.size() == p + 1;
      if (!complete) all.depth = std::max(all.depth, set.size());
      bool is_packed = packed[static_cast<size_t>(g)] != 0;
      count_attention(all.work, branch, set, n_kept, is_packed);
      packed[static_cast<size_t>(g)] = is_packed ? 1 : 0;
      if (!branch.after.chooses()) continue;
      count_choice(all.work, branch.after, p + 1, complete ? 0 : p + 1);
      select(g, t, branch.after);
    }
  }
  return all;
}

}  // namespace

float compare(const Comparison& how, const PreparedLayer& prepared, int32_t kv_head, int32_t t, int32_t reference) {
  if (!how.present || reference < 0) return std::numeric_limits<float>::quiet_NaN();
  const bool post = how.stage == QueryStage::post_rope;
  const int64_t first = how.per_kv_head ? int64_t{kv_head} * prepared.group() * prepared.d_head() : 0;
  const float* now = (post ? prepared.query(t) : prepared.query_pre(t)) + first;
  const float* then = (post ? prepared.query(reference) : prepared.query_pre(reference)) + first;
  return cpu::similarity(now, then, how.per_kv_head ? prepared.group() : prepared.n_head(), prepared.d_head(), how.how);
}

Decisions decide(const Policy& policy, int32_t layer, PreparedLayer& prepared, const PromptData& prompt,
                 ThreadPool& pool, const Cancel& cancel) {
  if (follows_from_rankings(policy, layer, prepared)) return decide_by_rankings(policy, layer, prepared);
  return walk(policy, layer, prepared, prompt, pool, cancel);
}

}  // namespace reattend
