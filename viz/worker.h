// The background thread that opens traces, replays and reads rows: the newest request of a kind wins, results wait to
// be taken.
#pragma once
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "viz/view_source.h"

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
enum class Task : uint8_t { open, replay_layer, rows, replay_all };
inline constexpr int kTasks = 4;

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

/// What the thread is at.
struct Activity {
  bool busy = false;  ///< something is running or waiting
  std::string what;   ///< "preparing layer 3", empty while nothing was reported
  double done = 0, total = 0;
};

class Worker {
 public:
  /// `wake` is called from the worker's thread whenever there is something to show.
  Worker(OpenSource open, std::function<void()> wake);
  /// Cancels what is running and waits for it.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Replaces the trace; everything asked of the old one is dropped.
  void open(const std::filesystem::path& path);
  /// The layer's replay, with sets.
  void replay_layer(const Settings& settings, int32_t layer);
  void replay_all(const Settings& settings);
  /// As many rows from `first_step` on as fit kRowBytes.
  void rows(int32_t layer, int32_t kv_head, int32_t first_step);

  Results take();
  Activity activity() const;
  /// Whether the newest request of this kind has not been answered yet.
  bool waiting_for(Task task) const;
  /// Nothing is running, waiting or left to take.
  bool idle() const;

  /// Limit of a RowMatrix: 512 MiB is 1,000 steps at 131,072 positions.
  static constexpr int64_t kRowBytes = int64_t{512} << 20;

 private:
  struct Request {
    Task task = Task::open;
    uint64_t ticket = 0;
    std::filesystem::path path;
    Settings settings;
    int32_t layer = 0, kv_head = 0, first_step = 1;
  };

  void post(Request request);
  void loop();
  void carry_out(const Request& request, const Cancel& cancel);
  std::shared_ptr<const RowMatrix> read_rows(const Request& request, const Cancel& cancel);
  /// Runs `store` on the results unless a newer request of the kind has been made meanwhile.
  void deliver(const Request& request, const std::function<void(Results&)>& store);
  void report(const std::string& what, double done, double total);
  bool newest(const Request& request) const { return tickets_[static_cast<int>(request.task)] == request.ticket; }

  const OpenSource open_;
  const std::function<void()> wake_;
  std::unique_ptr<ViewSource> source_;              ///< the worker thread's own
  std::chrono::steady_clock::time_point reported_;  ///< the worker thread's own: when it last woke the drawing thread

  mutable std::mutex mutex_;  ///< guards everything below
  std::condition_variable changed_;
  std::optional<Request> waiting_[kTasks];
  uint64_t tickets_[kTasks] = {};  ///< of the newest request of each kind
  std::optional<Request> running_;
  Cancel cancel_;  ///< of what is running
  Results results_;
  Activity activity_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace reattend::viz
