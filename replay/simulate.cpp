// Simulates steps in the engine's order (gate, choice before, attention, sums, choice after) and with its arithmetic.
#include "replay/simulate.h"

#include <algorithm>
#include <deque>
#include <span>
#include <utility>

#include "kernels/choose.h"
#include "kernels/cpu/ops.h"
#include "kernels/sketch.h"
#include "replay/choice.h"
#include "replay/work.h"

namespace reattend {
namespace {

/// Runs task(i) for i in [0, n): on the pool, or here where a pool's task is running already.
template <class Task>
void for_each(ThreadPool* pool, int32_t n, const Task& task) {
  if (pool != nullptr) {
    pool->run(n, [&](int64_t i, int) { task(static_cast<int32_t>(i)); });
  } else {
    for (int32_t i = 0; i < n; ++i) task(i);
  }
}

/// Of keys of `type`: the trace's own, or for counting what the engine reads those of the cache.
SketchLayout sketch_layout(const PreparedLayer& prepared, const Sketch& shape, KvType type) {
  return SketchLayout::of(shape, type, prepared.d_head(), prepared.n_row(prepared.n_step()));
}

/// KV heads that keep the same set: one, or all of the layer.
class Unit {
 public:
  Unit(const LayerPlans& plans, PreparedLayer& prepared, int32_t first_kv, int32_t n_kv, ThreadPool* pool)
      : plans_(plans),
        prepared_(prepared),
        first_kv_(first_kv),
        n_kv_(n_kv),
        n_head_(n_kv * prepared.group()),
        pool_(pool),
        stride_((prepared.n_row(prepared.n_step()) + 63) / 64 * 64) {}
  Unit(const Unit&) = delete;
  Unit& operator=(const Unit&) = delete;

  /// Step 0. window_rows [n_head of the layer][stride]: summed rows of the last prompt queries, where they choose.
  void start(const PromptData& prompt, const float* window_rows, int64_t window_stride) {
    const int32_t n_prompt = prepared_.n_row(0);
    const PromptNeeds& needs = plans_.needs;
    if (needs.row_sums) {
      sums_.assign(static_cast<size_t>(n_head_ * stride_), 0.0F);
      for (int32_t h = 0; h < n_head_; ++h) {
        std::copy_n(prompt.row_sums.data() + int64_t{first_head() + h} * n_prompt, n_prompt,
                    sums_.data() + h * stride_);
      }
    }
    // The prompt's pages are not step 1's to pay for; nor is its sketch, whose making is not counted.
    const Select next = plans_.steps.empty() ? Select{} : plans_.at(1).branch.before;
    if (next.by == Rank::pages) extend_bounds(next.page, n_prompt / next.page);
    if (!plans_.prompt.chooses()) return;
    window_rows_ = window_rows == nullptr ? nullptr : window_rows + first_head() * window_stride;
    window_stride_ = window_stride;
    choose(plans_.prompt, 0, {}, between_);
    work = {};  // the prompt's choice is no step's
  }

  /// Of consecutive calls the kept set stands in `kept` from one to the next, and in between here.
  void begin(std::vector<int32_t>& kept) { kept = *kept_, kept_ = &kept; }
  void end() { between_ = *kept_, kept_ = &between_; }

  void step(int32_t t, std::span<Decision> out, std::vector<int32_t>& kept) {
    const Plan& plan = plans_.at(t);
    const int32_t p = prepared_.position(t);
    Decision now = {.cosine = prepared_.compare(plan.compare, first_kv_, t, kept_step_)};
    now.takes_else = plan.gated && !stays(plan, now.cosine);
    const Branch& branch = branch_of(plan, now);
    if (branch.before.chooses()) choose(branch.before, t, {}, kept);
    const PositionSet set =
        resolve(branch.attend, kept_->data(), static_cast<int32_t>(kept_->size()), selected_at(), p);
    now.kept_step = kept_step_, now.keep = static_cast<int32_t>(kept_->size());
    std::fill_n(out.begin() + first_kv_, n_kv_, now);
    const bool was_packed = packed_;
    for (int32_t g = 0; g < n_kv_; ++g) {
      packed_ = was_packed;
      count_attention(work, branch, set, now.keep, packed_);
    }
    if (branch.accumulate || branch.after.by == Rank::attended) score(t, set, prepared_.scale());
    if (branch.accumulate) {
      for (int32_t h = 0; h < n_head_; ++h) add_row(set, rows_.data() + h * stride_, sums_.data() + h * stride_);
    }
    // The set may lie in what the choice replaces.
    if (branch.after.chooses() && t != last_) choose(branch.after, t, set, kept);
  }

  /// From now on every choice is written to `to`, with its scores, up to the one that step `last` attends with.
  void write_choices(Choice& to, int32_t last) { written_ = &to, last_ = last; }

  CountedWork work;

 private:
  int32_t first_head() const { return first_kv_ * prepared_.group(); }
  int32_t selected_at() const { return kept_step_ < 0 ? -1 : prepared_.position(kept_step_); }
  const float* query(int32_t t) const { return prepared_.query(t) + int64_t{first_head()} * prepared_.d_head(); }

  static void add_row(const PositionSet& set, const float* row, float* sums) {
    for (int32_t i = 0; i < set.size(); ++i) sums[set[i]] += row[i];
  }

  /// Softmax rows of step t over a set, in the set's order, into rows_.
  void score(int32_t t, const PositionSet& set, ScoreScale<float> scale) {
    const int32_t group = prepared_.group();
    rows_.resize(static_cast<size_t>(n_head_ * stride_));
    for_each(pool_, n_kv_, [&](int32_t g) {
      float* const rows = rows_.data() + g * group * stride_;
      Cpu::score_set(query(t) + int64_t{g} * group * prepared_.d_head(), group, prepared_.blocks(first_kv_ + g), set,
                     scale, rows, stride_);
      for (int32_t h = 0; h < group; ++h) Cpu::softmax(rows + h * stride_, set.size());
    });
  }

  /// Bounds of pages 0 .. n_page - 1, all of them complete; returns how many are new.
  int32_t extend_bounds(int32_t page, int32_t n_page) {
    const int64_t width = 2 * int64_t{prepared_.d_head()};
    const auto n_known = static_cast<int32_t>(static_cast<int64_t>(bounds_.size()) / width);
    if (n_page <= n_known) return 0;
    bounds_.resize(static_cast<size_t>(n_page * width));
    const KvBlocks keys = prepared_.blocks(first_kv_);
    for (int32_t i = n_known; i < n_page; ++i) Cpu::page_bounds(keys, i * page, page, bounds_.data() + i * width);
    return n_page - n_known;
  }

  /// Scores of step t's row over everything, estimated from a sketch: out [n_row(t)].
  void estimate(int32_t t, const Sketch& shape, Reduce how, float* out) {
    const int32_t n = prepared_.n_row(t), group = prepared_.group();
    const KvBlocks keys = prepared_.blocks(first_kv_);
    const SketchLayout layout = sketch_layout(prepared_, shape, keys.type);
    if (!(sketch_shape_ == shape)) sketch_.clear(), n_sketched_ = 0, sketch_shape_ = shape;
    sketch_.resize(static_cast<size_t>(layout.bytes(n - 1)));
    Cpu::extend_sketch(keys, layout, n_sketched_, n - 1, sketch_.data());
    n_sketched_ = n - 1;
    estimate_scores<Cpu>(query(t), group, keys, layout, sketch_.data(), n, prepared_.scale(), how, sketch_space_, out);
  }

  /// `attended`: what this step has attended to so far. The new set goes to `kept`.
  void choose(const Select& what, int32_t t, const PositionSet& attended, std::vector<int32_t>& kept) {
    const int32_t n = prepared_.n_row(t);
    int32_t n_candidate = 0;
    std::vector<int32_t> chosen;
    if (is_from_ranking(what, n) && written_ == nullptr) {
      const Candidates who = candidates_of(what, *kept_);
      n_candidate = who.n;
      std::vector<int32_t> best(static_cast<size_t>(std::min(what.keep, n)));
      prepared_.ranking.lists.copy(prepared_.unit(first_kv_, t), static_cast<int32_t>(best.size()), best.data());
      keep_best(what, best, who, n - 1, chosen);
    } else {
      ChoiceSource source{*this, what, t, attended};
      const std::span<const float> scores = carry_out<Cpu>(what, source, n, chosen, space_);
      n_candidate = static_cast<int32_t>(scores.size());
      if (written_ != nullptr) write(what, t, scores);
    }
    SketchRead sketch;
    if (reads_sketch(what)) {
      const SketchLayout layout = sketch_layout(prepared_, what.sketch, prepared_.cache_type());
      sketch = {.bytes = layout.bytes_read(n - 1), .n_block = layout.n_block(n - 1)};
    }
    for (int32_t g = 0; g < n_kv_; ++g)
      count_choice(work, what, n_candidate, keys_read(what, n, n_candidate, attended), sketch);
    kept = std::move(chosen);
    kept_ = &kept, kept_step_ = t, packed_ = false;
  }

  void write(const Select& what, int32_t t, std::span<const float> scores) {
    Candidates who = candidates_of(what, *kept_);
    written_->step = t, written_->what = what;
    written_->begin = who.begin, written_->candidates = std::move(who.positions);
    written_->scores.assign(scores.begin(), scores.end());
  }

  /// Keys of one KV head that are read for the choice alone.
  int32_t keys_read(const Select& what, int32_t n, int32_t n_candidate, const PositionSet& attended) {
    if (what.by == Rank::row) return attended.size() < n ? n : 0;
    if (what.by == Rank::vote) return n_candidate;
    return what.by == Rank::pages ? std::exchange(n_paged_, 0) * what.page : 0;
  }

  /// Where carry_out() finds what a choice is made from: made here, when it is asked for.
  struct ChoiceSource {
    Unit& unit;
    const Select& what;
    int32_t t;
    const PositionSet& set;  ///< what this step has attended to so far

    int32_t n_head() const { return unit.n_head_; }
    int32_t d_head() const { return unit.prepared_.d_head(); }
    std::span<const int32_t> kept() const { return *unit.kept_; }
    RowsOf<float> scored(const PositionSet& over, ScoreScale<float> scale) const {
      unit.score(t, over, scale);
      return {unit.rows_.data(), unit.stride_};
    }
    RowsOf<float> rows() const { return scored(everything_up_to(unit.prepared_.n_row(t)), unit.prepared_.scale()); }
    RowsOf<float> attended_rows() const { return {unit.rows_.data(), unit.stride_}; }  // scored for the step
    const PositionSet& attended() const { return set; }
    RowsOf<float> sums() const { return {unit.sums_.data(), unit.stride_}; }
    RowsOf<float> window_rows() const { return {unit.window_rows_, unit.window_stride_}; }
    RowsOf<float> votes() const { return scored({.tail = what.begin, .end = what.end}, 1.0F); }
    void estimated_scores(Reduce how, float* out) const { unit.estimate(t, what.sketch, how, out); }
    const float* bounds() const {
      unit.n_paged_ = unit.extend_bounds(what.page, what.end / what.page);
      return unit.bounds_.data();
    }
    const float* query() const { return unit.query(t); }
  };

  const LayerPlans& plans_;
  PreparedLayer& prepared_;
  int32_t first_kv_, n_kv_, n_head_;
  ThreadPool* pool_;  ///< null where units share it
  int64_t stride_;
  std::vector<int32_t> between_;
  const std::vector<int32_t>* kept_ = &between_;  ///< in rank order, or ascending
  int32_t kept_step_ = -1;
  bool packed_ = false;
  Choice* written_ = nullptr;
  int32_t last_ = -1;                   ///< a step whose choice afterwards is left out
  const float* window_rows_ = nullptr;  ///< [n_head_][window_stride_]
  int64_t window_stride_ = 0;
  int32_t n_paged_ = 0;        ///< pages whose keys were read since the last choice
  std::vector<float> sums_;    ///< [n_head_][stride_] by position
  std::vector<float> bounds_;  ///< [n_page][2][d_head]
  std::vector<float> rows_;    ///< [n_head_][stride_] in the set's order
  Sketch sketch_shape_;
  int32_t n_sketched_ = 0;
  std::vector<std::byte> sketch_;  ///< as SketchLayout says
  SketchSpace<float> sketch_space_;
  ChoiceSpace<float> space_;
};

/// [n_head][window_stride], or empty where the prompt's last rows choose nothing.
std::vector<float> rows_of_window(const LayerPlans& plans, const PreparedLayer& prepared, const PromptData& prompt,
                                  ThreadPool& pool) {
  if (plans.prompt.by != Rank::window) return {};
  return prepared.window_rows(prompt.queries, plans.prompt.window, pool);
}

/// All units of a layer, beside each other or one on all threads.
class Walk final : public Simulation {
 public:
  Walk(const LayerPlans& plans, PreparedLayer& prepared, const PromptData& prompt, ThreadPool& pool)
      : plans_(plans),
        prepared_(prepared),
        prompt_(prompt),
        pool_(pool),
        window_rows_(rows_of_window(plans, prepared, prompt, pool)) {
    const int32_t n_kv = prepared.n_kv_head();
    for (int32_t i = 0; i < n_unit(); ++i) {
      units_.emplace_back(plans, prepared, i, plans.shared ? n_kv : 1, plans.shared ? &pool : nullptr);
    }
  }

  Decisions decide(Steps range, const Cancel& cancel) override {
    const int32_t n_kv = prepared_.n_kv_head();
    Decisions out{.range = range,
                  .steps = std::vector<Decision>(static_cast<size_t>(range.size()) * n_kv),
                  .kept = std::vector<std::vector<int32_t>>((static_cast<size_t>(range.size()) + 1) * n_unit()),
                  .n_unit = n_unit(),
                  .work = {}};
    for_each(plans_.shared ? nullptr : &pool_, n_unit(), [&](int32_t i) {
      Unit& unit = units_[static_cast<size_t>(i)];
      if (range.first == 1) {
        unit.start(prompt_, window_rows_.empty() ? nullptr : window_rows_.data(), prepared_.window_stride());
      }
      const auto kept_at = [&](int32_t place) -> std::vector<int32_t>& {
        return out.kept[static_cast<size_t>(place) * n_unit() + i];
      };
      unit.begin(kept_at(0));
      for (int32_t t = range.first; t <= range.last; ++t) {
        cancel.check();
        const int32_t place = t - range.first;
        unit.step(t, std::span(out.steps).subspan(static_cast<size_t>(place) * n_kv, n_kv), kept_at(place + 1));
      }
      unit.end();
    });
    for (Unit& unit : units_) out.work += std::exchange(unit.work, {});
    return out;
  }

  std::vector<int32_t> open_rankings() const override {
    return std::vector<int32_t>(static_cast<size_t>(prepared_.n_kv_head()), -1);  // choices are copied as they are made
  }

 private:
  int32_t n_unit() const { return plans_.shared ? 1 : prepared_.n_kv_head(); }

  const LayerPlans& plans_;
  PreparedLayer& prepared_;
  const PromptData& prompt_;
  ThreadPool& pool_;
  const std::vector<float> window_rows_;  ///< [n_head][window_stride], or empty
  std::deque<Unit> units_;
};

}  // namespace

std::unique_ptr<Simulation> walk(const LayerPlans& plans, PreparedLayer& prepared, const PromptData& prompt,
                                 ThreadPool& pool) {
  return std::make_unique<Walk>(plans, prepared, prompt, pool);
}

Choice choice_of(const LayerPlans& plans, PreparedLayer& prepared, const PromptData& prompt, int32_t kv_head,
                 int32_t step, ThreadPool& pool, const Cancel& cancel) {
  Choice out;
  const int32_t n_kv = prepared.n_kv_head();
  const std::vector<float> window_rows = rows_of_window(plans, prepared, prompt, pool);
  Unit unit(plans, prepared, plans.shared ? 0 : kv_head, plans.shared ? n_kv : 1, &pool);
  unit.write_choices(out, step);
  unit.start(prompt, window_rows.empty() ? nullptr : window_rows.data(), prepared.window_stride());
  std::vector<int32_t> kept;
  std::vector<Decision> decisions(static_cast<size_t>(n_kv));
  unit.begin(kept);
  for (int32_t t = 1; t <= step; ++t) {
    cancel.check();
    unit.step(t, decisions, kept);
  }
  out.ranks = ranks_of(out.scores);
  return out;
}

}  // namespace reattend
