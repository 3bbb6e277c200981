// A made-up trace for the front end's tests: every attention weight is a formula, and the replay is the real one.
#pragma once
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>

#include "viz/session/session.h"

namespace reattend::viz::testing {

struct SyntheticShape {
  int32_t n_layer = 6, n_head = 6, n_kv_head = 2, n_prompt = 400, n_step = 64;
  bool values = true;
  std::vector<int32_t> layers;  ///< that are stored; empty: all
  std::string sha256 = {};      ///< of the model that it pretends to be of
  bool calibrated = true;
  std::filesystem::path path = "synthetic";
  Settings recorded = Settings("full");  ///< under which it pretends to have been recorded
  std::vector<int64_t> windows = {};     ///< [n_layer] of the model's own, whose layers are not stored; 0: none
};

/// Models with a law from an estimate to KL.
inline constexpr const char* kSmolLM2 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";
inline constexpr const char* kGemma = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818";

/// How far the source gets: layers are read on the background thread, so a test that holds them sees what is shown
/// until then. Shared with the source.
class Stage {
 public:
  /// From now on n more layers may be read; whoever reads another waits until more are let through.
  void let_through(int n);
  void let_all_through();
  void await_waiting();
  void pass();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int n_left_ = -1;  ///< negative: all
  bool waiting_ = false;
};

/// The weight that a row has; for comparing with what is shown, within 1e-6.
float synthetic_weight(const SyntheticShape& shape, int32_t layer, int32_t kv_head, int32_t t, int32_t position);
std::string synthetic_token(int32_t position);

std::shared_ptr<ReplaySource> make_synthetic_source(const SyntheticShape& shape,
                                                    std::shared_ptr<Stage> stage = std::make_shared<Stage>());
OpenSource synthetic_source(const SyntheticShape& shape, std::shared_ptr<Stage> stage = std::make_shared<Stage>());

}  // namespace reattend::viz::testing
