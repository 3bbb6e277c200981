// Reads a trace: opened at once, bulk data on demand, nothing in the file trusted.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "traces/trace_info.h"

namespace reattend {
namespace schema {
struct Dataset;
}

/// What to do about a trace without decode steps.
inline constexpr char kNoStepRemedy[] =
    "record with --steps 1 or more; where the model ends its text at once, --ignore-end goes on";
/// Throws Error where the trace holds no decode step.
void check_has_steps(const TraceInfo& info);

/// Keys and values of one layer, exactly as the cache held them, and its queries. Row r of keys is position r, r < L +
/// T.
struct LayerData {
  KvType kv_type = KvType::f16;  ///< f16 or f32: the schema's stored_type() of the cache's
  int32_t n_kv_head = 0, n_head = 0, d_head = 0, n_position = 0, n_step = 0;
  std::vector<std::byte> keys, values;  ///< [n_kv_head][n_position][d_head]; values empty if not recorded
  std::vector<float> queries;           ///< post-RoPE, [n_step + 1][n_head][d_head]; row 0 is step 0 (position L - 1)
};

/// Attention maps of one layer and KV head over some steps: n_row rows, the first of step first_step. Where a step was
/// not measured, positions are -1 and weights nan.
struct MapData {
  Maps maps = Maps::none;  ///< what follows: nothing at all where it is `none`
  int32_t first_step = 1, n_row = 0;
  int32_t n_kept = 0;              ///< `top`: M; otherwise columns: one a position, or one a bin
  int32_t bin = 1;                 ///< positions of a column
  std::vector<int32_t> positions;  ///< [n_row][M] of `top`, strongest first; -1 where the row is shorter
  std::vector<float> weights;      ///< [n_row][n_kept]
  std::vector<float> rest;         ///< [n_row] of `top`: weight of all other positions together
};

/// Thread-compatible; HDF5 itself is serialised by its global lock, so keep it off a UI thread.
class TraceReader {
 public:
  /// Throws Error for anything that is not a readable trace of this major version.
  static std::shared_ptr<TraceReader> open(const std::filesystem::path& path);
  ~TraceReader();
  const TraceInfo& info() const;
  /// Whether the trace holds this dataset of the schema.
  bool has(const schema::Dataset& dataset) const;
  std::vector<int32_t> tokens();           ///< [L + T + 1], the last one predicted but never fed
  std::vector<std::string> token_texts();  ///< [L + T + 1] raw bytes of each token
  /// Raw bytes of any token of the vocabulary (of top_ids, say); throws Error for an id outside it.
  const std::string& token_text(int32_t id);
  /// Every step with all that is no bulk, for all layers of the model; predictions from step 0 on, and behind the
  /// log-probabilities that of the token predicted last.
  StepData steps();
  /// This and all that follow throw Error for a layer that the trace does not store.
  LayerData layer(int32_t layer, bool with_values = true);
  /// Maps of `count` steps from `first_step` on; -1: to the last.
  MapData map(int32_t layer, int32_t kv_head, int32_t first_step = 1, int32_t count = -1);
  /// Post-RoPE queries of the last W = min(64, L) prompt tokens: [W][n_head][d_head], the last one step 0's.
  std::vector<float> prompt_queries(int32_t layer);
  /// Attention each prompt position received from all prompt queries: [n_head][L]. Error if not recorded.
  std::vector<float> prompt_row_sums(int32_t layer);
  /// Step t as it was written, of the stored layers alone; of step 0 there are only predictions.
  StepData record(int32_t t);
  /// Live traces: looks for newly committed steps; true if there are any (info().n_step grows).
  bool refresh();

 private:
  struct State;
  explicit TraceReader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace reattend
