// Measures of different steps are independent once it is known what each attends to.
#include "traces/replay/executor.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "traces/replay/output.h"
#include "traces/replay/sums.h"

namespace reattend {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

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

  void step(int32_t t) {
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
      output_.error(t, set, branch, error);
    }
    if (request_.keep_sets) out_.sets[at] = sorted(set);
  }

 private:
  void take_kept(const Decision& decision) {
    if (decision.kept_step == kept_step_ && decision.keep == keep_) return;
    for (int32_t i = 0; decisions_.are_rankings() && i < n_kept_; ++i) in_kept_[kept_[i]] = 0;
    kept_step_ = decision.kept_step, keep_ = decision.keep;
    if (decisions_.are_rankings()) {
      kept_ = prepared_.ranks(kv_head_, kept_step_);
      n_kept_ = std::min(keep_, prepared_.n_row(kept_step_));
      for (int32_t i = 0; i < n_kept_; ++i) in_kept_[kept_[i]] = 1;
    } else {
      kept_ = decisions_.kept_of(kv_head_, kept_step_).data();
      n_kept_ = keep_;
    }
    output_.keep(kept_, n_kept_);
  }

  /// R as it stood before the step against the top-K of the step's own scores.
  void overlap(int32_t t, size_t at, const Decision& decision) {
    if (decision.kept_step < 0 || !decisions_.are_rankings()) return;
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
  std::vector<uint8_t> in_kept_;   ///< [L + T] whether a position is in the kept set, of rankings
  HeadOutput output_;
};

}  // namespace

LayerReplay measure(const Policy& policy, int32_t layer, const Decisions& decisions, const PreparedLayer& prepared,
                    const ReplayRequest& request, const Rope& rope, ThreadPool& pool, const Cancel& cancel) {
  const size_t n = decisions.steps.size();
  LayerReplay out{.layer = layer, .work = decisions.work};
  out.full.resize(n), out.cos.resize(n), out.positions.resize(n), out.recovered.resize(n), out.oracle.resize(n);
  out.overlap.assign(n, kNan), out.jaccard.assign(n, kNan);
  if (request.output_error && prepared.has_values()) out.output_error.resize(n * prepared.group());
  if (request.keep_sets) out.sets.resize(n);
  // A few chunks per KV head: enough to share between threads, few enough that kept sets are taken up rarely.
  const int32_t n_chunk = std::min(4 * pool.n_thread(), std::max(1, prepared.n_step() / 8));
  pool.run(int64_t{prepared.n_kv_head()} * n_chunk, [&](int64_t i, int) {
    HeadRun run(policy, layer, static_cast<int32_t>(i / n_chunk), decisions, prepared, request, rope, out);
    const int64_t chunk = i % n_chunk, n_step = prepared.n_step();
    for (int64_t t = chunk * n_step / n_chunk + 1; t <= (chunk + 1) * n_step / n_chunk; ++t) {
      cancel.check();
      run.step(static_cast<int32_t>(t));
    }
  });
  return out;
}

}  // namespace reattend
