// Decisions are sequential in steps and cheap; sets and their measures are independent once those are known.
#include "traces/replay/executor.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "kernels/cpu/ops.h"
#include "traces/replay/output.h"
#include "traces/replay/sums.h"

namespace reattend {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

const Branch& branch_of(const Plan& plan, const Decision& decision) {
  return decision.otherwise ? plan.otherwise : plan.branch;
}

/// Similarity of step t's query to that of the step that chose the KV head's set.
float compare(const Comparison& how, const PreparedLayer& prepared, int32_t kv_head, int32_t t, int32_t reference) {
  if (!how.present || reference < 0) return kNan;
  const bool post = how.stage == QueryStage::post_rope;
  const int64_t first = how.per_kv_head ? int64_t{kv_head} * prepared.group() * prepared.d_head() : 0;
  const float* now = (post ? prepared.query(t) : prepared.query_pre(t)) + first;
  const float* then = (post ? prepared.query(reference) : prepared.query_pre(reference)) + first;
  return cpu::similarity(now, then, how.per_kv_head ? prepared.group() : prepared.n_head(), prepared.d_head(), how.how);
}

std::vector<int32_t> sorted(const PositionSet& set) {
  std::vector<int32_t> positions(static_cast<size_t>(set.size()));
  for (int32_t i = 0; i < set.size(); ++i) positions[static_cast<size_t>(i)] = set[i];
  std::sort(positions.begin(), positions.end());
  return positions;
}

/// One KV head over a range of steps. Holds what lasts from one step to the next: the kept set and copies of it.
class HeadRun {
 public:
  HeadRun(const Policy& policy, int32_t layer, int32_t kv_head, const Decisions& decisions,
          const PreparedLayer& prepared, const ReplayRequest& request, const Rope& rope, LayerReplay& out)
      : policy_(policy),
        layer_(layer),
        kv_head_(kv_head),
        decisions_(decisions),
        prepared_(prepared),
        request_(request),
        out_(out),
        in_kept_(static_cast<size_t>(prepared.n_row(prepared.n_step())), 0),
        output_(prepared, kv_head, rope) {}

  void step(int32_t t, ReplayWork& work) {
    const auto at = static_cast<size_t>(t - 1) * prepared_.n_kv_head() + kv_head_;
    const Decision& decision = decisions_.steps[at];
    const Plan plan = policy_.plan(layer_, t);
    const Branch& branch = branch_of(plan, decision);
    const int32_t p = prepared_.position(t);
    take_kept(decision);
    const int32_t stamp = decision.kept_step < 0 ? -1 : prepared_.position(decision.kept_step);
    const PositionSet set = resolve(branch.attend, kept_, n_kept_, stamp, p);
    const float* row = prepared_.row(kv_head_, t);
    const bool complete = set.size() == p + 1;

    out_.full[at] = branch.full ? 1 : 0;
    out_.cos[at] = decision.cosine;
    out_.positions[at] = set.size();
    const double recovered =
        run_sum(row, 0, set.lead) + gather_sum(row, set.kept, set.n_kept) + run_sum(row, set.tail, set.end);
    out_.recovered[at] = static_cast<float>(recovered);
    out_.oracle[at] = static_cast<float>(complete ? recovered : prepared_.best_mass(kv_head_, t, set.size()));
    overlap(t, at, decision);
    if (!out_.output_error.empty()) {
      float* error = out_.output_error.data() + static_cast<int64_t>(at) * prepared_.group();
      output_.error(t, set, branch.attend.rank_rotation, error);
    }
    if (request_.keep_sets) out_.sets[at] = sorted(set);
    work.run += set.size() - set.n_kept, work.kept += set.n_kept;
    if (branch.after.chooses()) work.ranked += p + 1, work.rescored += complete ? 0 : p + 1;
  }

 private:
  void take_kept(const Decision& decision) {
    if (decision.kept_step == kept_step_ && decision.keep == keep_) return;
    for (int32_t i = 0; i < n_kept_; ++i) in_kept_[kept_[i]] = 0;
    kept_step_ = decision.kept_step, keep_ = decision.keep;
    kept_ = prepared_.ranks(kv_head_, kept_step_);
    n_kept_ = std::min(keep_, prepared_.n_row(kept_step_));
    for (int32_t i = 0; i < n_kept_; ++i) in_kept_[kept_[i]] = 1;
    output_.keep(kept_, n_kept_);
  }

  /// R as it stood before the step against the top-K of the step's own scores.
  void overlap(int32_t t, size_t at, const Decision& decision) {
    if (decision.kept_step < 0) return;
    const int32_t n_top = std::min(keep_, prepared_.n_row(t));
    const int32_t* top = prepared_.ranks(kv_head_, t);
    int32_t both = 0;
    for (int32_t i = 0; i < n_top; ++i) both += in_kept_[top[i]];
    out_.overlap[at] = static_cast<float>(both) / static_cast<float>(n_top);
    out_.jaccard[at] = static_cast<float>(both) / static_cast<float>(n_top + n_kept_ - both);
  }

  const Policy& policy_;
  int32_t layer_, kv_head_;
  const Decisions& decisions_;
  const PreparedLayer& prepared_;
  const ReplayRequest& request_;
  LayerReplay& out_;
  int32_t kept_step_ = -1, keep_ = 0, n_kept_ = 0;
  const int32_t* kept_ = nullptr;  ///< [n_kept_] in rank order
  std::vector<uint8_t> in_kept_;   ///< [L + T] whether a position is in the kept set
  HeadOutput output_;
};

}  // namespace

Decisions decide(const Policy& policy, int32_t layer, const PreparedLayer& prepared) {
  const int32_t n_kv = prepared.n_kv_head();
  const Select prompt = policy.prompt(layer);
  Decisions all{.steps = std::vector<Decision>(static_cast<size_t>(prepared.n_step()) * n_kv),
                .rank = {.present = prompt.chooses(), .reduce = prompt.reduce, .pool = prompt.pool}};
  std::vector<Decision> state(static_cast<size_t>(n_kv));
  const auto select = [&](Decision& of, int32_t t, const Select& after) {
    const RankNeed rank = {.present = true, .reduce = after.reduce, .pool = after.pool};
    if (!all.rank.present) all.rank = rank;
    if (all.rank != rank) throw Error("replay: a policy that ranks one layer in two ways is not supported");
    of.kept_step = t, of.keep = after.keep;
    all.depth = std::max(all.depth, std::min(after.keep, prepared.n_row(prepared.n_step())));
  };
  if (prompt.chooses()) {
    for (Decision& each : state) select(each, 0, prompt);
  }
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
      Decision& now = state[static_cast<size_t>(g)];
      const Branch& branch = branch_of(plan, now);
      const int32_t stamp = now.kept_step < 0 ? -1 : prepared.position(now.kept_step);
      const int32_t n_kept = now.kept_step < 0 ? 0 : std::min(now.keep, prepared.n_row(now.kept_step));
      const PositionSet set = resolve(branch.attend, nullptr, n_kept, stamp, prepared.position(t));
      if (set.size() <= prepared.position(t)) all.depth = std::max(all.depth, set.size());
      if (branch.after.chooses()) select(now, t, branch.after);
    }
  }
  return all;
}

LayerReplay measure(const Policy& policy, int32_t layer, const Decisions& decisions, const PreparedLayer& prepared,
                    const ReplayRequest& request, const Rope& rope, ThreadPool& pool, const Cancel& cancel) {
  const size_t n = decisions.steps.size();
  LayerReplay out{.layer = layer};
  out.full.resize(n), out.cos.resize(n), out.positions.resize(n), out.recovered.resize(n), out.oracle.resize(n);
  out.overlap.assign(n, kNan), out.jaccard.assign(n, kNan);
  if (request.output_error && prepared.has_values()) out.output_error.resize(n * prepared.group());
  if (request.keep_sets) out.sets.resize(n);
  // A few chunks per KV head: enough to share between threads, few enough that kept sets are taken up rarely.
  const int32_t n_chunk = std::min(4 * pool.n_thread(), std::max(1, prepared.n_step() / 8));
  std::vector<ReplayWork> work(static_cast<size_t>(prepared.n_kv_head()) * n_chunk);
  pool.run(static_cast<int64_t>(work.size()), [&](int64_t i, int) {
    HeadRun run(policy, layer, static_cast<int32_t>(i / n_chunk), decisions, prepared, request, rope, out);
    const int64_t chunk = i % n_chunk, n_step = prepared.n_step();
    for (int64_t t = chunk * n_step / n_chunk + 1; t <= (chunk + 1) * n_step / n_chunk; ++t) {
      cancel.check();
      run.step(static_cast<int32_t>(t), work[static_cast<size_t>(i)]);
    }
  });
  for (const ReplayWork& each : work) {
    out.work.run += each.run, out.work.kept += each.kept;
    out.work.ranked += each.ranked, out.work.rescored += each.rescored;
  }
  return out;
}

}  // namespace reattend
