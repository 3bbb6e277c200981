// The smallest changes of a setting in one layer under which a step attends to a position that it loses, found by
// replaying.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "replay/analysis/why_lost.h"

namespace reattend::viz {

/// A value of S, K or the threshold, in one layer.
struct Cure {
  std::string key;
  Value value;
  Settings settings;   ///< with that value in the layer, and otherwise as it was
  std::string change;  ///< "K 416"
};

/// Asks a replay of the layer, again and again, for one row and one position of it.
class CureSearch {
 public:
  CureSearch(Replayer& replayer, const Settings& settings, const RowPlace& at, int32_t position, const Cancel& cancel);

  /// Of each parameter that may differ by layer and decides: the least K, the greatest S, the least threshold, of those
  /// beyond the present value, that makes the step attend to the position. `budget`: a K to try first; -1: none.
  /// What a policy refuses is no cure.
  std::vector<Cure> find(int32_t budget);
  /// Whether the step attends to the position under this value in the layer; the replay's own answer.
  bool keeps(const std::string& key, const Value& value);

 private:
  std::optional<Cure> least_budget(int32_t hint);
  std::optional<Cure> greatest_stride();
  std::optional<Cure> least_threshold();
  Settings with(const std::string& key, const Value& value) const;
  Cure cure(const std::string& key, const Value& value) const;
  const LayerReplay* replay(const Settings& settings);

  Replayer& replayer_;
  const Settings& settings_;
  const RowPlace at_;
  const int32_t position_;
  const Cancel& cancel_;
  ReplayResult replayed_;  ///< the last one
};

}  // namespace reattend::viz
