// Opens traces, replays and reads rows on a background thread: the newest request of a kind wins, results wait to be
// taken.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "replay/errands.h"
#include "viz/session/view_source.h"

namespace reattend::viz {

/// What a trace holds besides its bulk.
struct OpenedTrace {
  TraceInfo info;
  std::vector<std::string> token_texts;  ///< [L + T + 1]
  StepData steps;
};

/// Full attention rows of consecutive steps. Row i is step first_step + i; it has n_prompt + first_step + i weights,
/// the rest of its n_position columns are 0.
struct RowMatrix {
  int32_t layer = 0, kv_head = 0, first_step = 1, n_row = 0, n_position = 0, n_prompt = 0;
  std::vector<float> weights;  ///< [n_row][n_position]
  int32_t n_weight(int32_t row) const { return n_prompt + first_step + row; }
  bool holds(int32_t step) const { return step >= first_step && step < first_step + n_row; }
  const float* row_of_step(int32_t step) const { return weights.data() + int64_t{step - first_step} * n_position; }
};

/// Kinds of work, most urgent first. A more urgent request interrupts a less urgent one, which starts again afterwards.
/// Output errors take longest, so replays are answered without them, and again with them once nothing else waits.
enum class Task : uint8_t { open, replay_layer, rows, replay_all, layer_errors, all_errors };
inline constexpr int kTasks = 6;

struct Failure {
  Task task;
  std::string message;
};

/// What has finished since the last take(); null where nothing new has.
struct Results {
  std::shared_ptr<const OpenedTrace> trace;
  std::shared_ptr<const ReplayResult> layer;  ///< one layer, with the attended sets
  std::shared_ptr<const ReplayResult> all;    ///< every layer, without sets
  std::shared_ptr<const RowMatrix> rows;
  std::vector<Failure> failures;
};

using Activity = Errands::Activity;

class Worker {
 public:
  /// `wake` is called from the worker's thread whenever there is something to show.
  Worker(OpenSource open, std::function<void()> wake) : open_(std::move(open)), errands_(kTasks, std::move(wake)) {}

  /// Replaces the trace; everything asked of the old one is dropped.
  void open(const std::filesystem::path& path);
  /// The layer's replay, with sets.
  void replay_layer(const Settings& settings, int32_t layer);
  void replay_all(const Settings& settings);
  /// As many rows from `first_step` on as fit kRowBytes.
  void rows(int32_t layer, int32_t kv_head, int32_t first_step);

  Results take();
  Activity activity() const { return errands_.activity(); }
  /// Whether the newest request of this kind has not been answered yet.
  bool waiting_for(Task task) const { return errands_.waiting_for(static_cast<int>(task)); }
  /// Nothing is running, waiting or left to take.
  bool idle() const;

  /// Limit of a RowMatrix: 512 MiB is 1,000 steps at 131,072 positions.
  static constexpr int64_t kRowBytes = int64_t{512} << 20;

 private:
  void post(Task task, Errands::Errand errand) { errands_.post(static_cast<int>(task), std::move(errand)); }
  void replay(Task task, const ReplayRequest& request, std::shared_ptr<const ReplayResult> Results::*result);
  void read_rows(int32_t layer, int32_t kv_head, int32_t first_step, const Errands::Context& context);

  const OpenSource open_;
  std::unique_ptr<ViewSource> source_;  ///< the errands'
  Results results_;                     ///< guarded by errands_
  Errands errands_;                     ///< last, so that it has ended before what it fills goes
};

}  // namespace reattend::viz
