// Walks each policy's path of schedules by layer, and adds those of it that a user would want to see.
#include "tune/refine.h"

#include <algorithm>

#include "tune/bounds.h"
#include "tune/schedule.h"

namespace reattend {
namespace {

double cost_of(const std::vector<std::vector<LayerNumbers>>& numbers, const LayerPicks& picks) {
  double cost = 0;
  for (size_t layer = 0; layer < picks.size(); ++layer) cost += numbers[static_cast<size_t>(picks[layer])][layer].cost;
  return cost;
}

/// Replays the menu of one policy and adds it with the schedules that are made of it.
void add_schedules_of(const Settings& base, Sweep& sweep, const TuneOptions& options, TuneResult& result) {
  const GridSettings layer_items = schedule_menu(options.grid, base, infos_of(result.traces));
  const std::vector<Settings>& menu = layer_items.settings;
  if (menu.size() < 2) return;
  for (const LeftOut& each : layer_items.left_out) {
    if (std::find(result.left_out.begin(), result.left_out.end(), each) == result.left_out.end()) {
      result.left_out.push_back(each);
    }
  }
  Replayed replayed;
  const bool several = options.grid.bases.size() > 1;
  const std::string what = "sweep for schedules by layer" + (several ? " of " + base.policy() : std::string());
  std::vector<Candidate> items = sweep.evaluate(menu, sweep.all_layers(), what, &replayed);
  std::vector<std::vector<LayerNumbers>> numbers;  // [n_item][n_layer]
  for (const Candidate& item : items) numbers.push_back(item.layers);
  const std::vector<LayerPicks> path = schedule_path(numbers);
  const double fixed = items.front().cost - cost_of(numbers, LayerPicks(numbers.front().size(), 0));
  merge(result.candidates, std::move(items));
  size_t last = 0;
  while (last + 1 < path.size() && fixed + cost_of(numbers, path[last + 1]) < result.full_cost) ++last;

  std::vector<std::pair<size_t, bool>> tried;  // index into path, whether it is within the bounds; in the path's order
  const auto add = [&](const std::vector<size_t>& indices) {
    std::vector<Candidate> schedules;
    for (const size_t i : indices) {
      schedules.push_back(
          sweep.mix(by_layer(menu, path[i], result.traces.front().info.run_shape()), replayed, path[i]));
      tried.emplace_back(i, passes(schedules.back(), result, Evidence::predicted));
    }
    std::sort(tried.begin(), tried.end());
    merge(result.candidates, std::move(schedules));
  };
  const auto n = static_cast<size_t>(options.n_schedule), n_even = (2 * n + 2) / 3;
  add(spread_over(0, last, n_even));
  // The cheapest one within the bounds lies between the last that is not and the first that is.
  const auto good = std::find_if(tried.begin(), tried.end(), [](const auto& each) { return each.second; });
  if (good == tried.end() || good == tried.begin() || n == n_even) return;
  const size_t low = std::prev(good)->first + 1, high = good->first - 1;
  if (low <= high) add(spread_over(low, high, n - n_even));
}

}  // namespace

void add_schedules(Sweep& sweep, const TuneOptions& options, TuneResult& result) {
  if (options.n_schedule < 1 || !result.has_values) return;
  for (const Settings& base : options.grid.bases) add_schedules_of(base, sweep, options, result);
}

}  // namespace reattend
