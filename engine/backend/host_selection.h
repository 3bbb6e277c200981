// The selection operations of a host backend: gates, choices, sums and attention over what a plan says.
#pragma once
#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "base/error.h"
#include "engine/backend/host_by_rank.h"
#include "engine/backend/host_core.h"
#include "engine/backend/host_sketch.h"
#include "kernels/choose.h"
#include "kernels/measures/row_measures.h"

namespace reattend {

template <class Ops>
class HostSelection final : public SelectionOps {
 public:
  using Core = HostCore<Ops>;
  using Real = typename Ops::Real;
  using Seq = HostSequence<Real>;
  using State = typename Core::Rows::State;

  explicit HostSelection(Core& core) : c_(core), sketches_(core) {}

  void gate(Sequence& sequence, int32_t layer, const Plan& plan, bool measure) override {
    const BackendMemory::Access access(c_.memory);
    Seq& seq = c_.cast(sequence);
    const ModelShape& shape = c_.shape;
    measure_ = measure;
    const int32_t group = shape.group(), n_unit = plan.compare.per_kv_head ? shape.n_kv_head : 1;
    const int32_t n_head = plan.compare.per_kv_head ? group : shape.n_head;
    const bool compares = plan.compare.present && (plan.gated || measure);
    const Real* now = compares ? c_.staged_query(seq, layer, plan.compare.stage) : nullptr;
    for (int32_t u = 0; u < n_unit; ++u) {
      const int64_t at = int64_t{u} * n_head * shape.d_head;
      const int32_t begin = plan.compare.per_kv_head ? u : 0, end = plan.compare.per_kv_head ? u + 1 : shape.n_kv_head;
      const bool has_reference = c_.unit(seq, layer, begin).selected_at >= 0;
      const double cosine = compares && has_reference ? Ops::similarity(now + at, c_.reference(seq, layer) + at, n_head,
                                                                        shape.d_head, plan.compare.how)
                                                      : kNan;
      for (int32_t g = begin; g < end; ++g) {
        const int32_t i = layer * shape.n_kv_head + g;
        seq.stays[i] = !plan.gated || stays(plan, cosine) ? 1 : 0;
        // Of step 0's choice the margin is told with step 1.
        const float first = seq.logs[i].positions == 0 ? seq.logs[i].margin_after : kNan;
        seq.logs[i] = {.full = c_.branch(seq, layer, g, plan).full,
                       .cosine = static_cast<float>(cosine),
                       .margin_before = first,
                       .margin_after = kNan};
      }
    }
  }

  void before(Sequence& sequence, int32_t layer, const Plan& plan) override {
    if (!plan.branch.before.chooses() && !plan.else_branch.before.chooses()) return;
    const BackendMemory::Access access(c_.memory);
    Seq& seq = c_.cast(sequence);
    const std::vector<int32_t> heads =
        heads_where(seq, layer, plan, [](const Branch& branch) { return branch.before.chooses(); });
    if (!heads.empty()) choose(seq, layer, heads, c_.branch(seq, layer, heads[0], plan).before, plan.compare, true);
  }

  void attend(Sequence& sequence, int32_t layer, const Plan& plan, bool shadow) override {
    const BackendMemory::Access access(c_.memory);
    Seq& seq = c_.cast(sequence);
    const int32_t p = seq.cache->size() - 1, n_kv = c_.shape.n_kv_head, group = c_.shape.group();
    const std::vector<KvBlocks> kv = c_.blocks(seq, layer);
    c_.sets.assign(n_kv, {});
    c_.rows.start(layer, p + 1, c_.shape.n_head);
    c_.set_rows.layer = -1;
    c_.set_rows.start(layer, p + 1, c_.shape.n_head);
    std::vector<Real*> rows(n_kv, nullptr);
    std::vector<int32_t> gathered;
    bool rotated = false;
    // A layer with a window attends to it in every run; nobody looks at its rows.
    const bool windowed = c_.window(layer) > 0;
    shadow = shadow && !windowed;
    for (int32_t g = 0; g < n_kv; ++g) {
      const Branch& branch = c_.branch(seq, layer, g, plan);
      KeptSet& kept = c_.unit(seq, layer, g);
      PositionSet& set = c_.sets[g];
      set = resolve(branch.attend, kept.order.data(), static_cast<int32_t>(kept.order.size()), kept.selected_at, p);
      c_.log(seq, layer, g).positions = set.size();
      const bool complete = set.lead == p + 1, known = c_.rows.state[g * group] != State::none;
      const bool learns = branch.accumulate || branch.after.by == Rank::attended;
      rotated = rotated || (branch.attend.rank_rotation && !complete);
      // A full row comes for free where everything is attended to; it saves the scoring pass.
      if ((complete || shadow) && !known && (branch.after.chooses() || learns || (measure_ && !windowed))) {
        rows[g] = c_.rows.begin(g, group, State::softmax);
      } else if (!complete && !shadow && learns) {
        rows[g] = c_.set_rows.begin(g, group, State::softmax);
      }
      if (!complete && shadow && learns) gathered.push_back(g);
    }
    if (shadow) {
      const std::vector<PositionSet> all(n_kv, everything_up_to(p + 1));
      run_attention(seq, layer, kv, all, rows);
      for (const int32_t g : gathered) score_own_set(seq, layer, g);
    } else if (rotated) {
      if (std::ranges::any_of(rows, [](const Real* row) { return row != nullptr; })) {
        throw Error("backend: a set that is attended to by rank leaves no row to learn from");
      }
      attend_by_rank(c_, seq, layer, kv, p);
    } else {
      use_packed(seq, layer, plan);
      run_attention(seq, layer, kv, c_.sets, rows);
    }
    if (measure_ || shadow) return;  // who looks at whole rows needs all of the cache
    for (int32_t g = 0; g < n_kv; ++g) {
      const Branch& branch = c_.branch(seq, layer, g, plan);
      if (branch.forget_end > branch.forget_begin) seq.cache->release(layer, g, branch.forget_begin, branch.forget_end);
    }
  }

  void after(Sequence& sequence, int32_t layer, const Plan& plan) override {
    const BackendMemory::Access access(c_.memory);
    Seq& seq = c_.cast(sequence);
    const std::vector<int32_t> adding =
        heads_where(seq, layer, plan, [](const Branch& branch) { return branch.accumulate; });
    if (!adding.empty()) accumulate(seq, layer, adding);
    const std::vector<int32_t> heads =
        heads_where(seq, layer, plan, [](const Branch& branch) { return branch.after.chooses(); });
    if (!heads.empty()) choose(seq, layer, heads, c_.branch(seq, layer, heads[0], plan).after, plan.compare, false);
  }

  void after_prompt(Sequence& sequence, int32_t layer, const Select& select, const Plan& first,
                    const PromptNeeds& needs, bool measure) override {
    const BackendMemory::Access access(c_.memory);
    Seq& seq = c_.cast(sequence);
    if (!seq.cache->complete()) throw Error("backend: a run that forgot positions can't be continued by another");
    measure_ = measure;
    for (int32_t g = 0; g < c_.shape.n_kv_head; ++g) {
      KeptSet& kept = c_.unit(seq, layer, g);
      kept.order.clear(), kept.selected_at = -1, kept.packed = false;
      c_.log(seq, layer, g) = {.margin_before = kNan, .margin_after = kNan};
      seq.bounds[layer * c_.shape.n_kv_head + g].clear();
      seq.sketches->forget(layer * c_.shape.n_kv_head + g);
    }
    if (needs.row_sums && layer == 0) seq.sums = seq.prompt->sums;
    // What the first step's choice is made from is made now: no step pays for the whole prompt.
    const Select& next = first.gated ? first.else_branch.before : first.branch.before;
    if (next.by == Rank::pages) extend_bounds(seq, layer, next.page, seq.cache->size() / next.page);
    if (reads_sketch(next)) sketches_.extend(seq, layer, next.sketch, seq.cache->size());
    c_.rows.layer = -1;
    if (select.chooses()) choose(seq, layer, c_.all_kv_heads(), select, first.compare, false);
  }

  void log(const Sequence& sequence, std::span<HeadLog> out) override {
    const BackendMemory::Access access(c_.memory);
    const auto& logs = static_cast<const Seq&>(sequence).logs;
    std::copy(logs.begin(), logs.end(), out.begin());
  }

 private:
  static constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

  template <class Test>
  std::vector<int32_t> heads_where(const Seq& seq, int32_t layer, const Plan& plan, const Test& test) const {
    std::vector<int32_t> heads;
    for (int32_t g = 0; g < c_.shape.n_kv_head; ++g) {
      if (test(c_.branch(seq, layer, g, plan))) heads.push_back(g);
    }
    return heads;
  }

  void run_attention(Seq& seq, int32_t layer, std::span<const KvBlocks> kv, std::span<const PositionSet> sets,
                     std::span<Real* const> rows) {
    Ops::attend(c_.pool, c_.scratch, c_.query(seq, layer), c_.shape.group(), kv, sets, c_.scale, c_.heads.data(),
                rows.data(), c_.rows.stride);
    for (const PositionSet& set : sets) c_.bytes.attend += set.size() * seq.cache->bytes_per_position();
  }

  /// Where the output was full attention's, a policy that learns from its own set is given its scores.
  void score_own_set(Seq& seq, int32_t layer, int32_t g) {
    const int32_t group = c_.shape.group();
    Ops::score_set(c_.query(seq, layer) + int64_t{g} * group * c_.shape.d_head, group, seq.cache->blocks(layer, g),
                   c_.sets[g], c_.scale, c_.set_rows.begin(g, group, State::raw), c_.set_rows.stride);
  }

  /// Hands attention the rank-ordered copies of kept sets that later steps will read as well, made at the first use.
  void use_packed(Seq& seq, int32_t layer, const Plan& plan) {
    const auto row = static_cast<size_t>(seq.cache->bytes_per_position() / 2);
    std::vector<int32_t> fresh;
    for (int32_t g = 0; g < c_.shape.n_kv_head; ++g) {
      KeptSet& kept = c_.unit(seq, layer, g);
      if (c_.sets[g].n_kept == 0 || kept.packed || !c_.branch(seq, layer, g, plan).leaves_kept()) continue;
      kept.packed_keys.resize(kept.order.size() * row);
      kept.packed_values.resize(kept.order.size() * row);
      kept.packed = true;
      c_.bytes.select += static_cast<int64_t>(2 * kept.order.size() * row);
      fresh.push_back(g);
    }
    constexpr int64_t kRows = 128;  // a task's share: 32 KB of keys and values at d_head 64
    int64_t n_part = 0;             // sets of one layer may differ in size where each KV head decides for itself
    for (const int32_t g : fresh) {
      n_part = std::max(n_part, (static_cast<int64_t>(c_.unit(seq, layer, g).order.size()) + kRows - 1) / kRows);
    }
    c_.pool.run(static_cast<int64_t>(fresh.size()) * n_part, [&](int64_t task, int) {
      const int32_t g = fresh[task / n_part];
      KeptSet& kept = c_.unit(seq, layer, g);
      const auto begin = static_cast<size_t>(task % n_part * kRows);
      const size_t end = std::min(kept.order.size(), begin + kRows);
      for (size_t i = begin; i < end; ++i) {
        std::memcpy(kept.packed_keys.data() + i * row, seq.cache->key(layer, g, kept.order[i]), row);
        std::memcpy(kept.packed_values.data() + i * row, seq.cache->value(layer, g, kept.order[i]), row);
      }
    });
    for (int32_t g = 0; g < c_.shape.n_kv_head; ++g) {
      KeptSet& kept = c_.unit(seq, layer, g);
      if (c_.sets[g].n_kept == 0 || !kept.packed) continue;
      c_.sets[g].packed_keys = kept.packed_keys.data();
      c_.sets[g].packed_values = kept.packed_values.data();
      c_.sets[g].packed_type = c_.kv;
    }
  }

  /// Softmax rows over what was attended to: those over everything where that is the same.
  void ensure_set_rows(Seq& seq, int32_t layer, std::span<const int32_t> kv_heads) {
    const int32_t n = seq.cache->size();
    std::vector<int32_t> complete, part;
    for (const int32_t g : kv_heads) (c_.sets[g].lead == n ? complete : part).push_back(g);
    if (!complete.empty()) c_.ensure_rows(seq, layer, complete);
    c_.finish(c_.set_rows, part, [this](int32_t g) { return c_.sets[g].size(); });
  }
  const Real* set_row(const Seq& seq, int32_t head) const {
    const bool complete = c_.sets[head / c_.shape.group()].lead == seq.cache->size();
    return (complete ? c_.rows : c_.set_rows).row(head);
  }

  void accumulate(Seq& seq, int32_t layer, std::span<const int32_t> kv_heads) {
    ensure_set_rows(seq, layer, kv_heads);
    const int32_t group = c_.shape.group();
    c_.pool.run(static_cast<int64_t>(kv_heads.size()) * group, [&](int64_t i, int) {
      const int32_t g = kv_heads[i / group], head = g * group + static_cast<int32_t>(i % group);
      Real* const sums = seq.sums.data() + c_.sums_at(seq, layer, head);
      const Real* const row = set_row(seq, head);
      const PositionSet& set = c_.sets[g];
      const Real* weight = row;
      for (int32_t j = 0; j < set.lead; ++j) sums[j] += *weight++;
      for (int32_t j = 0; j < set.n_kept; ++j) sums[set.kept[j]] += *weight++;
      for (int32_t j = set.tail; j < set.end; ++j) sums[j] += *weight++;
    });
  }

  /// Bounds of pages 0 .. n_page - 1, all of them complete.
  void extend_bounds(Seq& seq, int32_t layer, int32_t page, int32_t n_page) {
    const size_t width = 2 * static_cast<size_t>(c_.shape.d_head);
    const auto n_known = static_cast<int32_t>(seq.bounds[layer * c_.shape.n_kv_head].size() / width);
    if (n_known >= n_page) return;
    for (int32_t g = 0; g < c_.shape.n_kv_head; ++g) seq.bounds[layer * c_.shape.n_kv_head + g].resize(n_page * width);
    c_.bytes.select += int64_t{n_page - n_known} * page * c_.shape.n_kv_head * seq.cache->bytes_per_position() / 2;
    c_.pool.run(c_.shape.n_kv_head, [&](int64_t g, int) {
      const KvBlocks keys = seq.cache->blocks(layer, static_cast<int32_t>(g));
      Real* const bounds = seq.bounds[layer * c_.shape.n_kv_head + g].data();
      for (int32_t i = n_known; i < n_page; ++i) Ops::page_bounds(keys, i * page, page, bounds + i * width);
    });
  }

  /// One choice of a kept set for each of the KV heads, or one for all of them; references are set along with it.
  void choose(Seq& seq, int32_t layer, std::span<const int32_t> kv_heads, const Select& what, const Comparison& compare,
              bool is_before) {
    const int32_t n = seq.cache->size();
    const std::vector<int32_t> all = c_.all_kv_heads();
    const std::span<const int32_t> voting = what.shared ? std::span<const int32_t>(all) : kv_heads;
    if (what.by == Rank::row) c_.ensure_rows(seq, layer, voting);
    if (what.by == Rank::attended) ensure_set_rows(seq, layer, voting);
    if (what.by == Rank::pages) {
      extend_bounds(seq, layer, what.page, what.end / what.page);
      c_.bytes.select +=
          int64_t{what.end / what.page} * 2 * c_.shape.d_head * c_.shape.n_kv_head * static_cast<int64_t>(sizeof(Real));
    }
    if (what.by == Rank::window) window_sums(seq, layer, what.window);
    if (what.by == Rank::vote) vote(seq, layer, what);
    if (reads_sketch(what)) sketches_.prepare(seq, layer, kv_heads, what.sketch);
    const std::span<const int32_t> choosing = what.shared ? kv_heads.first(1) : kv_heads;
    // Room is made here: the backend's memory takes one thread at a time.
    const auto most = static_cast<size_t>(std::min(what.keep * what.page, n) + 1);
    for (const int32_t g : choosing) c_.unit(seq, layer, g).order.reserve(most);
    std::vector<float> margin(choosing.size(), kNan);
    scratch_.resize(static_cast<size_t>(c_.pool.n_thread()));
    c_.pool.run(static_cast<int64_t>(choosing.size()), [&](int64_t i, int thread) {
      ChoiceSource source{*this, seq, layer, choosing[i], thread, what.shared};
      const std::span<const Real> score =
          carry_out<Ops>(what, source, n, c_.unit(seq, layer, choosing[i]).order, scratch_[thread]);
      if (measure_) {
        margin[i] = static_cast<float>(selection_margin(std::vector<double>(score.begin(), score.end()), what));
      }
    });
    for (size_t i = 0; i < choosing.size(); ++i) {
      const auto& kept = c_.unit(seq, layer, choosing[i]).order;
      for (const int32_t g : what.shared ? kv_heads : choosing.subspan(i, 1)) {
        KeptSet& mine = c_.unit(seq, layer, g);
        if (g != choosing[i]) mine.order = kept;
        mine.packed = false;
        mine.selected_at = n - 1;
        (is_before ? c_.log(seq, layer, g).margin_before : c_.log(seq, layer, g).margin_after) = margin[i];
      }
    }
    if (!compare.present) return;
    const Real* now = c_.staged_query(seq, layer, compare.stage);
    for (const int32_t g : kv_heads) {
      const int64_t width = int64_t{c_.shape.group()} * c_.shape.d_head, at = g * width;
      std::copy_n(now + at, width, c_.reference(seq, layer) + at);
    }
  }

  /// Where carry_out() finds what one kept set is chosen from: made for all KV heads at once, before.
  struct ChoiceSource {
    HostSelection& self;
    Seq& seq;
    int32_t layer, kv_head;
    int thread;
    bool shared;  ///< one set for all KV heads

    Core& core() const { return self.c_; }
    int32_t head() const { return shared ? 0 : kv_head * core().shape.group(); }
    int32_t n_head() const { return shared ? core().shape.n_head : core().shape.group(); }
    int32_t d_head() const { return core().shape.d_head; }
    std::span<const int32_t> kept() const { return core().unit(seq, layer, kv_head).order; }
    RowsOf<Real> rows() const { return {core().rows.row(head()), core().rows.stride}; }
    RowsOf<Real> attended_rows() const { return {self.set_row(seq, head()), core().rows.stride}; }
    const PositionSet& attended() const { return core().sets[kv_head]; }
    RowsOf<Real> sums() const {
      return {seq.sums.data() + core().sums_at(seq, layer, head()), seq.cache->shape().n_ctx};
    }
    RowsOf<Real> window_rows() const { return {core().set_rows.row(head()), core().rows.stride}; }
    RowsOf<Real> votes() const { return {core().set_rows.row(0), core().set_rows.stride}; }
    void estimated_scores(Reduce how, Real* out) const { self.sketches_.scores(seq, layer, kv_head, thread, how, out); }
    const Real* bounds() const { return seq.bounds[layer * core().shape.n_kv_head + kv_head].data(); }
    const Real* query() const { return core().query(seq, layer) + int64_t{head()} * d_head(); }
  };

  /// Rows of the last prompt queries, summed, into set_rows: nothing has been attended to yet.
  void window_sums(Seq& seq, int32_t layer, int32_t window) {
    const int32_t n = seq.cache->size(), n_head = c_.shape.n_head;
    const auto& queries = seq.prompt->queries[layer];
    c_.rows.start(layer, n, n_head);
    c_.set_rows.layer = -1;
    c_.set_rows.start(layer, n, n_head);
    std::fill(c_.set_rows.data.begin(), c_.set_rows.data.begin() + n_head * c_.set_rows.stride, Real{0});
    const std::vector<KvBlocks> kv = c_.blocks(seq, layer);
    Ops::sum_prompt_rows(c_.pool, c_.scratch, queries.data() + queries.size() - window * c_.q_size(), window,
                         n - window, c_.shape.group(), kv, c_.scale, c_.set_rows.row(0), c_.set_rows.stride);
  }

  /// Each head's softmax over the candidates, without the usual scale, into set_rows.
  void vote(Seq& seq, int32_t layer, const Select& what) {
    const int32_t n_middle = what.end - what.begin;
    c_.set_rows.layer = -1;
    c_.set_rows.start(layer, seq.cache->size(), c_.shape.n_head);
    if (n_middle <= 0) return;
    const std::vector<int32_t> all = c_.all_kv_heads();
    c_.score_run(seq, layer, all, what.begin, what.end, Real{1}, c_.set_rows);
    for (const int32_t g : all) c_.set_rows.begin(g, c_.shape.group(), State::raw);
    c_.finish(c_.set_rows, all, [n_middle](int32_t) { return n_middle; });
  }

  Core& c_;
  HostSketches<Ops> sketches_;
  bool measure_ = false;
  std::vector<ChoiceSpace<Real>> scratch_;  ///< [n_thread]
};

}  // namespace reattend
