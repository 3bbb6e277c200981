// A made-up trace for the front end's tests: every weight is a formula, and a simple schedule stands in for the replay.
#pragma once
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "viz/session/view_source.h"

namespace reattend::viz::testing {

struct SyntheticShape {
  int32_t n_layer = 6, n_head = 6, n_kv_head = 2, n_prompt = 400, n_step = 64;
};

/// What a test sees of the source and does to it. Shared with the source, which lives in the worker.
class Stage {
 public:
  /// While set, every replay waits until it is let through or cancelled.
  void hold_replays(bool hold);
  /// Blocks until a replay waits.
  void await_held_replay();
  void begin_replay(const Settings& settings, const Cancel& cancel);
  std::vector<Settings> begun() const;

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool hold_ = false, held_ = false;
  std::vector<Settings> begun_;
};

/// The weight that `row` gives; for comparing with what is shown.
float synthetic_weight(const SyntheticShape& shape, int32_t layer, int32_t kv_head, int32_t t, int32_t position);
/// Similarity `age` steps after the last full step.
float synthetic_similarity(int32_t layer, int32_t t, int32_t age);
std::string synthetic_token(int32_t position);

OpenSource synthetic_source(const SyntheticShape& shape, std::shared_ptr<Stage> stage = std::make_shared<Stage>());

}  // namespace reattend::viz::testing
