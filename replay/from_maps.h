// A replay that has only the recorded attention maps: the strongest positions of every row, and the rest's mass.
#pragma once
#include <functional>
#include "replay/decisions.h"

namespace reattend {

/// Throws Error (usage) where maps do not tell what the policy would do: they hold no queries for gates, no rows of
/// single heads and nothing for policies that choose among what they kept.
void check_from_maps(const LayerPlans& plans, const Settings& settings, const TraceInfo& info);

/// Masses as intervals that hold whatever the maps left out: from `recovered` to `recovered_upper`; `oracle` is an
/// upper bound as well. What is known of a set: its runs, and of its kept entries those that must be among the best,
/// whose scores lie between the recorded mean over a group's heads and `group` times that (exact for reduce = mean).
/// Steps that were not measured have nan. `map_of` gives a KV head's map of all steps; one at a time is held.
LayerReplay replay_from_maps(const LayerPlans& plans, int32_t layer, const TraceInfo& info,
                             const std::function<MapData(int32_t kv_head)>& map_of, const Cancel& cancel);

}  // namespace reattend
