// Why a KV head did at a step what it did: the policy's own plan of the step and the similarity that the replay found.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "replay/replay.h"

namespace reattend::viz {

struct StepReason {
  enum class Kind : uint8_t {
    scheduled,   ///< the stride made the step due
    not_due,     ///< the stride has another step for it
    drifted,     ///< due, and the query is no longer like the one of the last choice
    alike,       ///< due, but it still is
    first,       ///< nothing to compare with: there was no choice in the decode yet
    dense,       ///< every step of the layer attends to everything
    every_step,  ///< the policy chooses anew at every step
    within,      ///< so it does, and attends to no more than what it chose
    behind,      ///< it renews its set behind each step
    everything,  ///< as many positions are kept as there are
    keeps,       ///< the policy has no other steps
  };
  Kind kind = Kind::keeps;
  std::optional<int64_t> stride;  ///< of `scheduled` and `not_due`; nothing: never
  float similarity = 0;           ///< of `drifted` and `alike`
  double threshold = 0;           ///< that it was held against
  bool or_equal = false;          ///< a similarity that equals it stays
  int32_t step = 0;
};

/// Of a layer's replay under these settings, which fit the trace's model. `layer` must outlive it.
class StepReasons {
 public:
  StepReasons(const LayerReplay& layer, const Settings& settings, const TraceInfo& info);
  /// Step t of 1 .. T.
  StepReason of(int32_t t, int32_t kv_head) const;

 private:
  const LayerReplay& layer_;
  int32_t n_kv_head_, n_prompt_;
  std::unique_ptr<Policy> policy_;
  std::optional<int64_t> stride_;
  bool has_stride_ = false, dense_ = false;
};

/// "due by the schedule, S = 16", "query drifted: cosine 0.8312 is not above the threshold 0.85".
std::string in_words(const StepReason& reason);

}  // namespace reattend::viz
