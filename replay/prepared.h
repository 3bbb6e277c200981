// A layer's rows, ranks and outputs, computed once from its queries, keys and values and kept for many settings.
#pragma once
#include <array>
#include <span>
#include <vector>

#include "base/progress.h"
#include "base/thread_pool.h"
#include "kernels/selection.h"
#include "policies/plan.h"
#include "replay/mass_rows.h"
#include "replay/ranks.h"
#include "replay/source.h"

namespace reattend {

/// How positions are ranked. A ranking holds the best positions of every step (of 0..p; fewer where there are fewer),
/// so that any K up to its depth is a prefix.
struct RankNeed {
  bool present = false;
  Reduce reduce = Reduce::max;
  int32_t pool = 1;
  bool operator==(const RankNeed&) const = default;
};

/// Steps first ... last, both included.
struct Steps {
  int32_t first = 0, last = -1;
  int32_t size() const { return last - first + 1; }
  bool holds(int32_t t) const { return t >= first && t <= last; }
  bool operator==(const Steps&) const = default;
};

/// Steps are t = 0..T; step t has the row of position p = L - 1 + t, of n_row(t) = L + t entries. Rows of all steps
/// grow with T squared: where they are too much for memory, the layer is prepared a part of the steps at a time.
class PreparedLayer {
 public:
  PreparedLayer(const TraceInfo& info, LayerData data);
  PreparedLayer(const PreparedLayer&) = delete;
  PreparedLayer& operator=(const PreparedLayer&) = delete;

  /// What a replay reads of a layer. Depths are raised to ones that serve most requests where all steps are prepared.
  struct Need {
    RankNeed rank;
    int32_t rank_depth = 0;  ///< entries of the rankings
    int32_t mass_depth = 0;  ///< entries that best_mass() knows at once
    bool outputs = false;
    int32_t kept_depth = 0;     ///< entries of kept sets' rankings whose masses are looked up; 0: none
    bool from_prompt = false;   ///< those rankings are prompt_ranking's, otherwise those of steps' rows
    bool has_overlaps = false;  ///< and are held against the steps' own
  };
  /// All steps are prepared, with everything that is needed.
  bool has(const Need& need) const;
  /// Makes what is missing of all steps; what is there stays.
  void prepare(const Need& need, ThreadPool& pool, const Cancel& cancel);
  /// Makes everything anew for these steps alone and forgets the others', but for the rankings of the steps `open`
  /// [n_kv_head] (-1: none), which later steps attend with.
  void prepare_part(const Need& need, Steps steps, std::span<const int32_t> open, ThreadPool& pool,
                    const Cancel& cancel);
  /// Forgets everything but queries, keys and values.
  void forget();

  /// Parts of all steps that can be kept elsewhere (replay/prepared_store.h).
  enum class Part : uint8_t { rows, best, ranks, outputs };
  static constexpr std::array<Part, 4> kParts = {Part::rows, Part::best, Part::ranks, Part::outputs};
  /// Whether the part has to be made for that.
  bool lacks(Part part, const Need& need) const;
  /// Its arrays, where it was made here.
  std::vector<std::span<const std::byte>> made_arrays(Part part) const;
  /// What the rankings that it holds are ranked by.
  const RankNeed& ranked_by() const { return rank_; }
  /// Entries of its lists; 0 for parts without.
  int32_t depth_of(Part part) const;
  /// Takes the part from there, of lists of that depth, ranked as `rank`; false, and nothing is changed, where the
  /// arrays do not fit.
  bool take(Part part, int32_t depth, const RankNeed& rank, const KeptBytes& from);
  bool has_prompt(const Select& by) const;
  /// The ranking that the last queries of the prompt, [W][n_head][d_head], give; `by` chooses from their rows.
  void prepare_prompt(const Select& by, const std::vector<float>& queries, ThreadPool& pool);

  int64_t bytes() const;
  /// What bytes() will be after prepare(need), and after prepare_part(). What is kept elsewhere takes nothing.
  int64_t bytes_with(const Need& need) const;
  /// The first where nothing is kept elsewhere.
  int64_t bytes_made(const Need& need) const;
  int64_t bytes_with(const Need& need, Steps steps) const;
  /// What bytes() is while nothing has been prepared of a layer of the trace.
  static int64_t unprepared_bytes(const TraceInfo& info);

  int32_t n_step() const { return n_step_; }
  int32_t n_head() const { return data_.n_head; }
  int32_t n_kv_head() const { return data_.n_kv_head; }
  int32_t group() const { return data_.n_head / data_.n_kv_head; }
  int32_t d_head() const { return data_.d_head; }
  /// Of the cache that was recorded, not of the keys and values as a trace stores them.
  KvType cache_type() const { return cache_type_; }
  int32_t position(int32_t t) const { return n_prompt_ - 1 + t; }
  int32_t n_row(int32_t t) const { return n_prompt_ + t; }
  ScoreScale<float> scale() const { return scale_; }
  bool has_values() const { return !data_.values.empty(); }

  const float* query(int32_t t) const;      ///< [n_head][d_head] post-RoPE
  const float* query_pre(int32_t t) const;  ///< [n_head][d_head] turned back to position 0
  KvBlocks blocks(int32_t kv_head) const;
  /// Rows of the last `window` prompt queries [.. window][n_head][d_head], summed: [n_head][n_row(0) rounded up to 64].
  std::vector<float> window_rows(const std::vector<float>& queries, int32_t window, ThreadPool& pool) const;
  int64_t window_stride() const { return (int64_t{n_row(0)} + 63) / 64 * 64; }
  /// Similarity of step t's query to that of step `reference`; nan where there is none. Remembered. Not for the same
  /// (kv_head, t) from two threads.
  float compare(const Comparison& how, int32_t kv_head, int32_t t, int32_t reference);

  /// Mean over the group of the full attention rows, n_row(t) entries, of a step that is prepared.
  MassRow mass_row(int32_t kv_head, int32_t t) const { return rows_.row(kv_head, t - steps_.first); }
  /// The same copied to out [n_row(t)], within 1e-7, whether the step is prepared (then quickly) or not.
  void copy_row(int32_t kv_head, int32_t t, float* out) const;
  /// Mass of the n highest entries of a row, 1 <= n <= n_row(t).
  MassUnits best_mass(int32_t kv_head, int32_t t, int32_t n) const;
  /// The best positions by pooled score, as deep as was prepared (or n_row(t)), best first.
  std::vector<int32_t> ranks(int32_t kv_head, int32_t t) const;
  /// Where a step's own position stands in them; past the end where it does not.
  int32_t rank_of_current(int32_t kv_head, int32_t t) const { return current_[static_cast<size_t>(unit(kv_head, t))]; }
  /// [n_head][d_head] output of full attention
  const float* output(int32_t t) const;

  /// The steps that are prepared, or would be: all, or a part.
  Steps steps() const { return steps_; }
  /// A unit is a KV head at a step of steps(), and a list of `ranking` is one too: the ranking of its row.
  int64_t unit(int32_t kv_head, int32_t t) const { return int64_t{kv_head} * steps_.size() + t - steps_.first; }
  int64_t n_unit() const { return int64_t{n_kv_head()} * steps_.size(); }
  /// The ranking of a step's row, of one that is prepared or was left open by the part before.
  template <class Index>
  const Index* ranked(int32_t kv_head, int32_t t) const {
    return steps_.holds(t) ? ranking.lists.list<Index>(unit(kv_head, t)) : open_.list<Index>(kv_head);
  }
  /// Rankings, and what steps' rows were found to hold of them; whoever replays fills the latter as needed.
  struct Ranking {
    RankTable lists;
    RankedMasses masses;
  };
  bool has_narrow_ranks() const { return RankTable::is_narrow(n_row(n_step_)); }
  Ranking ranking;
  Ranking prompt_ranking;  ///< one list a KV head, of candidates before the window

 private:
  struct Scratch;
  /// What one pass makes of each step. Best masses come from rows, all else from scores.
  struct Pass {
    bool scores = false, rows = false, masses = false, ranks = false, outputs = false;
  };
  Pass missing(const Need& need) const;
  void make(const Need& need, const Pass& pass, bool roomy, ThreadPool& pool, const Cancel& cancel);
  void keep_open(std::span<const int32_t> open);
  void forget_steps();
  int64_t all_unit(int32_t kv_head, int32_t t) const { return int64_t{kv_head} * (n_step_ + 1) + t; }
  Steps all_steps() const { return {0, n_step_}; }
  int32_t roomy(int32_t depth) const;
  int32_t roomy_kept(int32_t depth) const;
  int64_t fixed_bytes() const;
  int64_t bytes_for(const Need& need, bool kept_elsewhere) const;
  int64_t output_count(Steps steps) const { return int64_t{steps.size()} * n_head() * d_head(); }
  void prepare_step(int32_t kv_head, int32_t t, const Pass& pass, Scratch& scratch);
  void score_step(int32_t kv_head, int32_t t, const Pass& pass, Scratch& scratch);
  void attend_all(int32_t kv_head, int32_t t, Scratch& scratch);

  LayerData data_;
  int32_t n_prompt_ = 0, n_step_ = 0;
  ScoreScale<float> scale_;
  KvType cache_type_;
  std::vector<float> query_pre_;         ///< [T + 1][n_head][d_head]
  std::vector<const void*> key_blocks_;  ///< [n_kv_head][n_block]
  std::vector<const void*> value_blocks_;
  Steps steps_;
  bool rows_ready_ = false, masses_ready_ = false, outputs_ready_ = false;
  RankNeed rank_, wanted_;  ///< what `ranking` holds; what the pass under way makes
  MassRows rows_;
  BestMasses best_;             ///< by unit
  KeptArray<int32_t> current_;  ///< by unit
  RankTable open_;              ///< [n_kv_head] rankings that the part before left open
  KeptArray<float> outputs_;    ///< [steps_][n_head][d_head]
  Select prompt_choice_;        ///< what prompt_ranking holds
  struct Compared {
    int32_t reference = -1;
    int32_t how = 0;
    float cosine = 0;
  };
  std::vector<Compared> compared_;  ///< [n_kv_head][T + 1]
};

}  // namespace reattend
