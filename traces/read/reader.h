// Reads a trace: opened at once, bulk data on demand, nothing in the file trusted.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernels/layout.h"
#include "kernels/rope.h"
#include "policies/settings.h"
#include "traces/calibration.h"
#include "traces/step_record.h"

namespace reattend {
namespace schema {
struct Dataset;
}

/// Everything about a trace but its bulk.
struct TraceInfo {
  std::filesystem::path path;
  std::map<std::string, std::string> attributes;  ///< every root attribute as text
  std::string warning;                            ///< a newer minor version, an unclean end; empty otherwise
  bool live = false;                              ///< being written right now
  bool closed = true;  ///< the writer closed the file; otherwise it is live, or its writer was killed
  int32_t n_layer = 0, n_head = 0, n_kv_head = 0, d_head = 0, n_vocab = 0;
  Rope rope;
  KvType kv_type = KvType::f16;  ///< of the cache it was recorded from
  Settings settings;             ///< the policy it was recorded under
  bool shadow = false;           ///< the policy observed only, the output was full attention's
  int32_t n_prompt = 0;          ///< L
  int32_t n_step = 0;            ///< committed decode steps T
  bool has_values = true, has_prompt_row_sums = false;
  Maps maps = Maps::top;            ///< which maps are stored
  int32_t n_map = 0;                ///< M, positions of a map's row where maps are `top`
  int32_t n_column = 0;             ///< C, columns of a map's row where they are `dense` or `binned`
  int32_t map_bin = 0;              ///< positions of a bin where they are `binned`
  int32_t measure_every = 1;        ///< rows were looked at where t is a multiple of this; 0: nowhere
  std::vector<int32_t> layers;      ///< those that are stored, ascending; empty: all
  int32_t n_skipped = 0;            ///< decode steps before the first one here; their tokens are the prompt's last
  std::vector<int64_t> overlap_k;   ///< k of StepData::overlap
  std::vector<int64_t> end_tokens;  ///< tokens that end a sequence or turn
  Calibration calibration;
  /// An attribute's text; empty where there is none.
  std::string attribute(const std::string& name) const {
    const auto found = attributes.find(name);
    return found == attributes.end() ? std::string() : found->second;
  }
  int32_t group() const { return n_head / n_kv_head; }
  /// Layers that are stored.
  int32_t n_stored() const { return layers.empty() ? n_layer : static_cast<int32_t>(layers.size()); }
  int32_t stored_layer(int32_t i) const { return layers.empty() ? i : layers[static_cast<size_t>(i)]; }
  bool is_measured(int32_t t) const { return measure_every > 0 && t % measure_every == 0; }
};

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

/// What was measured while recording, per decode step (index t - 1), of all layers of the model: those that are not
/// stored have decision and reason 0, positions -1 and nan for the rest. Steps that were not measured have nan for
/// masses and overlaps.
struct StepData {
  std::vector<uint8_t> full;                       ///< [T][n_layer][n_kv_head] decision, 1 = full step
  std::vector<uint8_t> reason;                     ///< [T][n_layer][n_kv_head] see schema.h
  std::vector<float> cos_last_full;                ///< [T][n_layer][n_kv_head]
  std::vector<float> cos_prev_pre, cos_prev_post;  ///< [T][n_layer]
  std::vector<float> recovered, oracle;            ///< [T][n_layer][n_kv_head]
  std::vector<int32_t> positions;                  ///< [T][n_layer][n_kv_head] positions attended to
  std::vector<float> logprob;                      ///< [T + 1] of the fed token's successor at steps 0..T
  std::vector<float> overlap;                      ///< [T][n_layer][n_kv_head][overlap_k.size()] with the step before
  std::vector<int32_t> top_ids;     ///< [T + 1][20] strongest predictions of steps 0..T, -1 beyond the vocabulary
  std::vector<float> top_logprobs;  ///< [T + 1][20]
  std::vector<float> top_rest;      ///< [T + 1] probability of all others
  std::vector<double> ms;           ///< [T] wall time of the step without the recorder's own
  std::vector<int64_t> bytes_weights, bytes_attend, bytes_select;  ///< [T]
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
  StepData steps();
  /// This and all that follow throw Error for a layer that the trace does not store.
  LayerData layer(int32_t layer, bool with_values = true);
  /// Maps of `count` steps from `first_step` on; -1: to the last.
  MapData map(int32_t layer, int32_t kv_head, int32_t first_step = 1, int32_t count = -1);
  /// Post-RoPE queries of the last W = min(64, L) prompt tokens: [W][n_head][d_head], the last one step 0's.
  std::vector<float> prompt_queries(int32_t layer);
  /// Attention each prompt position received from all prompt queries: [n_head][L]. Error if not recorded.
  std::vector<float> prompt_row_sums(int32_t layer);
  /// Step t as it was written, of the stored layers alone; predictions after step 0..T.
  StepRecord record(int32_t t);
  TopTokens top(int32_t t);
  /// Live traces: looks for newly committed steps; true if there are any (info().n_step grows).
  bool refresh();

 private:
  struct State;
  explicit TraceReader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace reattend
