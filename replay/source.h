// What the replay needs of a recorded run, wherever it comes from.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "traces/read/reader.h"

namespace reattend {

/// A trace file, or a run made by hand in a test.
class ReplaySource {
 public:
  virtual ~ReplaySource() = default;
  virtual const TraceInfo& info() const = 0;
  /// Called from one thread at a time.
  virtual LayerData layer(int32_t layer) = 0;
  /// As TraceReader's; row sums are asked for only where info() says that there are some.
  virtual std::vector<float> prompt_queries(int32_t layer) = 0;
  virtual std::vector<float> prompt_row_sums(int32_t layer) = 0;
  /// Of all steps; asked for only where info() says that there are some.
  virtual MapData map(int32_t layer, int32_t kv_head) = 0;
  /// What a viewer shows beside the replay: [L + T + 1] raw bytes of each token, and what was measured while recording.
  virtual std::vector<std::string> token_texts() { return {}; }
  virtual std::vector<int32_t> token_ids() { return {}; }  ///< [L + T + 1], or empty: unknown
  virtual StepData steps() { return {}; }
};

std::shared_ptr<ReplaySource> make_replay_source(std::shared_ptr<TraceReader> trace);

}  // namespace reattend
