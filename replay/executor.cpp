// Measures steps beside each other, which is possible once it is known what each attends to. What a step's row holds of
// a ranking is found once and looked up from then on: a new budget reads a few numbers a step.
#include "replay/executor.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "replay/estimates.h"
#include "replay/output.h"

namespace reattend {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// One KV head over a range of steps. Holds what lasts from one step to the next: the kept set and copies of it.
/// Index is the rankings'.
template <class Index>
class HeadRun {
 public:
  HeadRun(const LayerPlans& plans, int32_t kv_head, const Decisions& decisions, PreparedLayer& prepared,
          const ReplayRequest& request, bool all_sets, const Rope& rope, LayerReplay& out)
      : plans_(plans),
        kv_head_(kv_head),
        decisions_(decisions),
        prepared_(prepared),
        ranking_(plans.kept_from == KeptFrom::prompt ? prepared.prompt_ranking : prepared.ranking),
        request_(request),
        out_(out),
        all_sets_(all_sets),
        spells_out_(plans.kept_from == KeptFrom::lists || all_sets || request.keep_sets || request.estimates ||
                    !out.output_error.empty()),
        output_(prepared, kv_head, rope) {}

  void step(int32_t t) {
    const auto at = static_cast<size_t>(t - 1) * prepared_.n_kv_head() + kv_head_;
    const Decision& decision = decisions_.at(t, kv_head_, prepared_.n_kv_head());
    const Branch& branch = branch_of(plans_.at(t), decision);
    const int32_t p = prepared_.position(t);
    const bool listed = plans_.kept_from == KeptFrom::lists;
    const int32_t n_kept = listed ? decision.keep : n_entry(branch, decision, prepared_, kv_head_, t);
    if (spells_out_) take_kept(decision, n_kept, p);
    const int32_t selected_at = decision.kept_step < 0 ? -1 : prepared_.position(decision.kept_step);
    const PositionSet set = resolve(branch.attend, kept_, n_kept, selected_at, p);
    const MassRow row = prepared_.mass_row(kv_head_, t);
    const bool complete = set.size() == p + 1;

    out_.full[at] = branch.full ? 1 : 0;
    out_.cos[at] = decision.cosine;
    out_.positions[at] = set.size();
    MassUnits recovered = row.run(0, set.lead) + row.run(set.tail, set.end);
    if (listed) {
      recovered += row.gather(set.kept, set.n_kept);
    } else if (decision.kept_step >= 0) {
      recovered += ranked(t, at, decision, branch, std::min(set.n_kept, decision.keep), row);
      if (set.n_kept > decision.keep) recovered += row[p];
    }
    out_.recovered[at] = static_cast<float>(mass_of(recovered));
    out_.oracle[at] =
        complete ? out_.recovered[at] : static_cast<float>(mass_of(prepared_.best_mass(kv_head_, t, set.size())));
    if (!out_.output_error.empty()) {
      float* error = out_.output_error.data() + static_cast<int64_t>(at) * prepared_.group();
      output_.error(t, set, branch, error);
      if (!out_.losses.output_norm.empty()) {
        output_norms(prepared_, kv_head_, t,
                     out_.losses.output_norm.data() + static_cast<int64_t>(at) * prepared_.group());
      }
    }
    const bool keeps = all_sets_ || request_.wants_set(t, kv_head_);
    if (!keeps && !request_.estimates) return;
    PositionRuns runs = runs_of(set);
    if (request_.estimates) measure_losses(prepared_, kv_head_, t, runs, at, row_, out_.losses);
    if (keeps) out_.sets[at] = std::move(runs);
  }

 private:
  const Index* list_of(int32_t step) const {
    if (plans_.kept_from == KeptFrom::prompt) return ranking_.lists.template list<Index>(kv_head_);
    return prepared_.template ranked<Index>(kv_head_, step);
  }
  int32_t n_list(int32_t step) const {
    const int32_t n = plans_.kept_from == KeptFrom::prompt ? ranking_.lists.depth() : prepared_.n_row(step);
    return std::min(n, ranking_.masses.depth());
  }

  void take_kept(const Decision& decision, int32_t n, int32_t p) {
    if (decision.kept_step == kept_step_ && n == n_kept_) return;
    kept_step_ = decision.kept_step, n_kept_ = n;
    in_order_.clear();
    if (plans_.kept_from == KeptFrom::lists) {
      kept_ = decisions_.kept_of(kv_head_, kept_step_).data();
    } else if (kept_step_ >= 0) {
      positions_.resize(static_cast<size_t>(n));
      std::copy_n(list_of(kept_step_), decision.keep, positions_.data());
      if (n > decision.keep) positions_.back() = p;
      kept_ = positions_.data();
    }
    output_.keep(kept_, n_kept_);
  }

  PositionRuns runs_of(const PositionSet& set) {
    if (set.n_kept != static_cast<int32_t>(in_order_.size())) {
      in_order_.assign(set.kept, set.kept + set.n_kept);
      std::ranges::sort(in_order_);
    }
    return {set, in_order_};
  }

  /// Mass of the first n entries of the kept set's ranking; and R, as it stood before the step, against the top-K of
  /// the step's own scores, for policies that choose afterwards.
  MassUnits ranked(int32_t t, size_t at, const Decision& decision, const Branch& branch, int32_t n,
                   const MassRow& row) {
    RankedMasses& masses = ranking_.masses;
    const int32_t step = decision.kept_step;
    const Index* const list = list_of(step);
    const int64_t unit = prepared_.unit(kv_head_, t);
    const int32_t n_top = plans_.compares ? std::min(decision.asked, prepared_.n_row(t)) : 0;
    if (const int32_t most = std::max(n, n_top); masses.n_known(unit, step) < most) find(masses, t, step, most, row);
    if (plans_.compares && !branch.before.chooses()) {
      const int32_t both = masses.overlap(unit, n_top);
      out_.overlap[at] = static_cast<float>(both) / static_cast<float>(n_top);
      out_.jaccard[at] = static_cast<float>(both) / static_cast<float>(n_top + decision.keep - both);
    }
    return masses.sum(unit, row, list, n);
  }

  /// Makes the first `most` entries of a step's list known to step t, and some beyond them.
  void find(RankedMasses& masses, int32_t t, int32_t step, int32_t most, const MassRow& row) {
    const int32_t known = masses.n_known(prepared_.unit(kv_head_, t), step);
    const int32_t n = std::min(RankedMasses::n_to_find(most, known), masses.depth());
    RankedEntries<Index> entries = {.entries = list_of(step), .n = std::min(n, n_list(step))}, own;
    if (masses.has_overlaps()) {
      own = {.entries = list_of(t), .n = std::min(n, n_list(t)), .ranks = &own_ranks_};
      entries.ranks = &ranks_;
      for (RanksByPosition<Index>* const each : {&ranks_, &own_ranks_})
        each->resize(prepared_.n_row(prepared_.n_step()));
      ranks_.take(entries.entries, entries.n), own_ranks_.take(own.entries, own.n);
    }
    masses.find(prepared_.unit(kv_head_, t), step, n, row, entries, own);
  }

  const LayerPlans& plans_;
  int32_t kv_head_;
  const Decisions& decisions_;
  PreparedLayer& prepared_;
  PreparedLayer::Ranking& ranking_;
  const ReplayRequest& request_;
  LayerReplay& out_;
  bool all_sets_;
  bool spells_out_;  ///< the kept set's positions are needed, not only their sums
  int32_t kept_step_ = -1, n_kept_ = 0;
  const int32_t* kept_ = nullptr;   ///< [n_kept_] in rank order
  std::vector<int32_t> positions_;  ///< of a ranking
  std::vector<int32_t> in_order_;   ///< those of kept_ that were attended to last, ascending
  std::vector<float> row_;          ///< working space of losses
  RanksByPosition<Index> ranks_, own_ranks_;
  HeadOutput output_;
};

template <class Index>
void measure_steps(const LayerPlans& plans, const Decisions& decisions, PreparedLayer& prepared,
                   const ReplayRequest& request, bool all_sets, const Rope& rope, ThreadPool& pool,
                   const Cancel& cancel, LayerReplay& out) {
  // A few chunks per KV head: enough to share between threads, few enough that kept sets are taken up rarely.
  const int64_t n_step = decisions.range.size(), first = decisions.range.first;
  const int64_t n_chunk =
      pool.n_thread() == 1 ? 1 : std::min<int64_t>(4 * pool.n_thread(), std::max<int64_t>(1, n_step / 8));
  pool.run(prepared.n_kv_head() * n_chunk, [&](int64_t i, int) {
    HeadRun<Index> run(plans, static_cast<int32_t>(i / n_chunk), decisions, prepared, request, all_sets, rope, out);
    const int64_t chunk = i % n_chunk;
    for (int64_t t = chunk * n_step / n_chunk; t < (chunk + 1) * n_step / n_chunk; ++t) {
      cancel.check();
      run.step(static_cast<int32_t>(first + t));
    }
  });
}

}  // namespace

LayerReplay make_layer_replay(int32_t layer, const PreparedLayer& prepared, const ReplayRequest& request) {
  const size_t n = static_cast<size_t>(prepared.n_step()) * prepared.n_kv_head();
  LayerReplay out{.layer = layer};
  out.full.resize(n), out.cos.resize(n), out.positions.resize(n), out.recovered.resize(n), out.oracle.resize(n);
  out.overlap.assign(n, kNan), out.jaccard.assign(n, kNan);
  if (request.output_error && prepared.has_values()) out.output_error.resize(n * prepared.group());
  if (request.keep_sets) out.sets.resize(n);
  ReplayLosses& losses = out.losses;
  if (request.estimates) losses.largest.resize(n), losses.middle.resize(n), losses.of_middle.resize(n);
  if (request.estimates || request.output_norm) losses.output_norm.resize(out.output_error.size());
  return out;
}

void measure(const LayerPlans& plans, const Decisions& decisions, PreparedLayer& prepared, const ReplayRequest& request,
             bool all_sets, const Rope& rope, ThreadPool& pool, const Cancel& cancel, LayerReplay& out) {
  out.work += decisions.work;
  if (all_sets) out.sets.resize(static_cast<size_t>(prepared.n_step()) * prepared.n_kv_head());
  const auto run = prepared.has_narrow_ranks() ? &measure_steps<uint16_t> : &measure_steps<uint32_t>;
  run(plans, decisions, prepared, request, all_sets, rope, pool, cancel, out);
}

}  // namespace reattend
