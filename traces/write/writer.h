// Writes a trace step by step; at any moment a reader may look at it and a kill loses no finished step.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "traces/read/reader.h"

namespace reattend {

/// What stands in the file before the first step.
struct TraceHeader {
  std::string engine_version, command_line, model, model_sha256, architecture;
  std::string device, cpu_target, activations;
  int32_t threads = 0;
  int32_t n_layer = 0, n_head = 0, n_kv_head = 0, d_head = 0, d_model = 0;
  Rope rope;
  KvType kv_type = KvType::f16;  ///< of the cache; what is written has its schema::stored_type()
  Settings settings;
  bool shadow = false;
  bool values = true, row_sums = false;  ///< which optional datasets exist
  int32_t n_map = 64;                    ///< M
  int32_t expected_steps = 64;           ///< rows are made for so many steps at a time, but not above 32
  std::string overlap_reduce = "max";
  int32_t overlap_pool = 7;
  std::vector<int32_t> prompt;     ///< [L] token ids
  std::vector<std::string> vocab;  ///< [n_vocab] raw bytes of each token
  std::vector<int64_t> end_tokens;
  Calibration calibration;
};

/// The strongest predictions after a step, strongest first.
struct TopTokens {
  std::vector<int32_t> ids;     ///< [20]
  std::vector<float> logprobs;  ///< [20]
  float rest = 0;
};

/// One finished decode step.
struct StepRecord {
  int32_t token = 0;
  std::vector<std::byte> keys,
      values;                  ///< [n_layer][n_kv_head][d_head] of the stored type; values empty if not recorded
  std::vector<float> queries;  ///< [n_layer][n_head][d_head] post-RoPE
  float logprob = 0;           ///< of `token`
  TopTokens top;
  std::vector<int32_t> map_positions;              ///< [n_layer][n_kv_head][M]
  std::vector<float> map_weights;                  ///< [n_layer][n_kv_head][M]
  std::vector<float> map_rest;                     ///< [n_layer][n_kv_head]
  std::vector<float> overlap;                      ///< [n_layer][n_kv_head][3]
  std::vector<uint8_t> decision, reason;           ///< [n_layer][n_kv_head]
  std::vector<float> cos_last_full;                ///< [n_layer][n_kv_head]
  std::vector<float> cos_prev_pre, cos_prev_post;  ///< [n_layer]
  std::vector<float> recovered, oracle;            ///< [n_layer][n_kv_head]
  std::vector<int32_t> positions;                  ///< [n_layer][n_kv_head]
  double ms = 0;
  int64_t bytes_weights = 0, bytes_attend = 0, bytes_select = 0;
};

/// Order of calls: constructor, begin, the prompt_ functions, start, append (commit)*, close. The file lies under a
/// temporary name beside `path` until start(), so a run that fails before its first step leaves an older trace alone.
class TraceWriter {
 public:
  /// Throws Error (usage) if `path` exists and `force` is not set, Error if it can't be written.
  TraceWriter(std::filesystem::path path, bool force);
  /// Closes; an unstarted file is removed.
  ~TraceWriter();
  TraceWriter(const TraceWriter&) = delete;
  TraceWriter& operator=(const TraceWriter&) = delete;

  /// Creates every dataset. Any function from here on throws Error when the disk is full or the file system fails; what
  /// was committed stays readable, and the writer takes no more.
  void begin(const TraceHeader& header);
  /// keys, values: cache bits [L][d_head] of one KV head; values ignored if the header has none.
  void prompt_kv(int32_t layer, int32_t kv_head, std::span<const std::byte> keys, std::span<const std::byte> values);
  /// [W][n_head][d_head], W = min(64, L)
  void prompt_queries(int32_t layer, std::span<const float> queries);
  /// [n_head][L]
  void prompt_row_sums(int32_t layer, std::span<const float> sums);
  /// `top` is step 0's. From here on readers can open the trace.
  void start(const TopTokens& top);
  void append(const StepRecord& step);
  /// Makes all appended steps visible, and safe from a kill of this process.
  void commit();
  void close();

  int32_t committed() const;
  const std::filesystem::path& path() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace reattend
