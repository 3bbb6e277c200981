// What each KV head of each layer loses under the setting, step by step and over all steps.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "replay/replay.h"

namespace reattend::viz {

/// What is told of a head; each is a share of 0 .. 1 but the output error, which may exceed it.
enum class HeadMeasure : uint8_t { lost_mass, lost_overlap, output_error, choosing };
inline constexpr int kHeadMeasures = 4;

/// A head's values over the steps. nan: not known.
struct HeadStory {
  int32_t layer = 0, kv_head = 0;
  double mean = 0, p95 = 0;    ///< over the steps that have a value
  std::vector<float> largest;  ///< [kStretches] of the steps' values in each of so many equal stretches of the trace
};

/// Of every layer that has been replayed; a layer is looked at again only when its replay is another.
class HeadGrid {
 public:
  static constexpr int32_t kStretches = 64;

  /// Layers come one by one: null where one is not replayed yet. `measure` may change at any time.
  void update(const TraceInfo& info, const std::vector<std::shared_ptr<const LayerReplay>>& layers,
              HeadMeasure measure);
  /// [n_layer][n_kv_head]; those of a layer that is not known have nan everywhere.
  const std::vector<HeadStory>& heads() const { return heads_; }
  /// The largest mean; nan where nothing is known.
  double largest_mean() const;
  /// Changes with what is known.
  uint64_t version() const { return version_; }

 private:
  HeadMeasure measure_ = HeadMeasure::lost_mass;
  std::vector<std::shared_ptr<const LayerReplay>> of_;  ///< [n_layer] what the stories are of
  std::vector<HeadStory> heads_;
  uint64_t version_ = 0;
};

}  // namespace reattend::viz
