// Writes a trace step by step; at any moment a reader may look at it and a kill loses no finished step.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "traces/step_data.h"
#include "traces/write/trace_header.h"

namespace reattend {

/// When a file takes its name: with its first step, to be watched while it grows, or when it is closed, for what is
/// worth nothing before.
enum class Appears : uint8_t { with_first_step, when_whole };

/// Order of calls: constructor, begin, the prompt_ functions, start, append (commit)*, close. The file lies under a
/// temporary name beside `path` until then, so a run that fails before leaves an older trace alone. `layer` counts the
/// layers that are stored.
class TraceWriter {
 public:
  /// Throws Error (usage) if `path` exists and `force` is not set, Error if it can't be written.
  TraceWriter(std::filesystem::path path, bool force, Appears appears = Appears::with_first_step);
  /// Closes; a file that has no name yet is removed.
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
  /// Of step 0 the predictions are stored. From here on readers can open a trace that appears with its first step.
  void start(const StepData& step_0);
  /// One step: every column that this trace holds, of the layers that it stores.
  void append(const StepData& step);
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
