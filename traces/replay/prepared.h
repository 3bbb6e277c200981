// A layer's rows, ranks and outputs, computed once from its queries, keys and values and kept for many settings.
#pragma once
#include <vector>

#include "base/progress.h"
#include "base/thread_pool.h"
#include "kernels/selection.h"
#include "traces/replay/source.h"

namespace reattend {

/// What a request reads beyond the rows. A ranking holds the best `depth` positions of every step (of 0..p; fewer where
/// there are fewer), so that any K up to it is a prefix.
struct RankNeed {
  bool present = false;
  Reduce reduce = Reduce::max;
  int32_t pool = 1;
  bool operator==(const RankNeed&) const = default;
};

/// Steps are t = 0..T; step t has the row of position p = L - 1 + t, of n_row(t) = L + t entries.
class PreparedLayer {
 public:
  PreparedLayer(const TraceInfo& info, LayerData data);

  /// Makes what is missing; what is there stays. `depth` is raised to a size that serves most requests.
  void prepare(const RankNeed& rank, int32_t depth, bool outputs, ThreadPool& pool, const Cancel& cancel);
  int64_t bytes() const;

  int32_t n_step() const { return n_step_; }
  int32_t n_head() const { return data_.n_head; }
  int32_t n_kv_head() const { return data_.n_kv_head; }
  int32_t group() const { return data_.n_head / data_.n_kv_head; }
  int32_t d_head() const { return data_.d_head; }
  int32_t position(int32_t t) const { return n_prompt_ - 1 + t; }
  int32_t n_row(int32_t t) const { return n_prompt_ + t; }
  float scale() const { return scale_; }
  bool has_values() const { return !data_.values.empty(); }

  const float* query(int32_t t) const;      ///< [n_head][d_head] post-RoPE
  const float* query_pre(int32_t t) const;  ///< [n_head][d_head] turned back to position 0
  KvBlocks blocks(int32_t kv_head) const;
  /// [n_row(t)] mean over the group of the full attention rows
  const float* row(int32_t kv_head, int32_t t) const;
  /// The same copied to out [n_row(t)], for whoever need not know how rows are kept.
  void copy_row(int32_t kv_head, int32_t t, float* out) const;
  /// [min(depth asked for, n_row(t))] positions by pooled score, best first
  const int32_t* ranks(int32_t kv_head, int32_t t) const;
  /// The same computed at once, whether the layer is prepared or not.
  std::vector<float> full_row(int32_t kv_head, int32_t t) const;
  /// Mass of the n highest entries of row(kv_head, t), 1 <= n <= n_row(t).
  double best_mass(int32_t kv_head, int32_t t, int32_t n) const;
  /// [n_head][d_head] output of full attention
  const float* output(int32_t t) const;

 private:
  struct Scratch;
  size_t unit(int32_t kv_head, int32_t t) const { return static_cast<size_t>(kv_head) * (n_step_ + 1) + t; }
  /// What one pass makes of each step. Masses come from rows, all else from scores.
  struct Pass {
    bool scores = false, masses = false, ranks = false, outputs = false;
  };
  void prepare_step(int32_t kv_head, int32_t t, const Pass& pass, Scratch& scratch);
  void score_step(int32_t kv_head, int32_t t, const Pass& pass, Scratch& scratch);
  void attend_all(int32_t kv_head, int32_t t, Scratch& scratch);

  LayerData data_;
  int32_t n_prompt_ = 0, n_step_ = 0;
  float scale_ = 0;
  std::vector<float> query_pre_;         ///< [T + 1][n_head][d_head]
  std::vector<const void*> key_blocks_;  ///< [n_kv_head][n_block]
  std::vector<const void*> value_blocks_;
  bool rows_ready_ = false, outputs_ready_ = false;
  RankNeed rank_, wanted_;              ///< what ranks_ hold; what the pass under way makes
  int32_t depth_ = 0, rank_depth_ = 0;  ///< of masses, of ranks
  std::vector<size_t> row_start_;       ///< [T + 2] where step t's row begins among a KV head's
  std::vector<float> rows_;             ///< [n_kv_head][row_start_.back()]
  std::vector<float> best_mass_;        ///< [n_kv_head][T + 1][depth] mass of the best i + 1
  std::vector<int32_t> ranks_;          ///< [n_kv_head][T + 1][rank_depth]
  std::vector<float> outputs_;          ///< [T + 1][n_head][d_head]
};

}  // namespace reattend
