// A path of schedules from the menu's numbers; the points of it that a user would want to see.
#include "traces/tune/refine.h"

#include <algorithm>

#include "traces/tune/points.h"
#include "traces/tune/schedule.h"

namespace reattend {
namespace {

const std::vector<Value> kMenuStrides = {int64_t{4}, int64_t{16}, int64_t{64}};
const std::vector<Value> kMenuGateStrides = {int64_t{4}};
const std::vector<double> kMenuThresholds = {0.7, 0.8, 0.9};
const std::vector<Value> kMenuBudgets = {std::string("L/2"),  std::string("L/4"),  std::string("L/8"),
                                         std::string("L/16"), std::string("L/32"), std::string("L/64")};

const TunePoint* find_whole(const std::vector<TunePoint>& points, const Settings& settings) {
  const auto found =
      std::find_if(points.begin(), points.end(), [&](const TunePoint& p) { return p.whole && p.settings == settings; });
  return found == points.end() ? nullptr : &*found;
}

/// [n_item][n_layer]; what the sweep has not replayed on all layers is replayed now.
std::vector<std::vector<LayerNumbers>> numbers_of(std::span<const Settings> menu, Sweep& sweep, TuneResult& result) {
  std::vector<Settings> missing;
  for (const Settings& item : menu) {
    if (find_whole(result.points, item) == nullptr) missing.push_back(item);
  }
  merge(result.points, sweep.evaluate(missing, sweep.all_layers(), "sweep for schedules by layer"));
  std::vector<std::vector<LayerNumbers>> numbers;
  for (const Settings& item : menu) numbers.push_back(find_whole(result.points, item)->layers);
  return numbers;
}

double cost_of(std::span<const std::vector<LayerNumbers>> numbers, const LayerPicks& picks) {
  double cost = 0;
  for (size_t layer = 0; layer < picks.size(); ++layer) cost += numbers[static_cast<size_t>(picks[layer])][layer].cost;
  return cost;
}

bool within(const TunePoint& point, const TuneResult& result) {
  return hardest_predicted(point, result).most <= 1;
}

}  // namespace

std::vector<Settings> schedule_menu(const TuneGrid& grid) {
  std::vector<Settings> menu;
  for (const Value& budget : or_default(grid.budgets, kMenuBudgets)) {
    const auto add = [&](const Value& stride, const char* schedule, double threshold) {
      Settings item = grid.base;
      item.set("K", budget), item.set("S", stride);
      item.set("schedule", std::string(schedule)), item.set("threshold", threshold);
      if (std::find(menu.begin(), menu.end(), item) == menu.end()) menu.push_back(std::move(item));
    };
    const double unused = std::get<double>(find_parameter("threshold")->initial);
    for (const Value& stride : or_default(grid.strides, kMenuStrides)) add(stride, "fixed", unused);
    for (const Value& stride : or_default(grid.gate_strides, kMenuGateStrides)) {
      for (const double threshold : or_default(grid.thresholds, kMenuThresholds)) add(stride, "query", threshold);
    }
  }
  return menu;
}

void add_schedules(Sweep& sweep, const TuneOptions& options, TuneResult& result) {
  const std::vector<Settings> menu = schedule_menu(options.grid);
  if (options.n_schedule < 1 || !result.has_values || menu.size() < 2) return;
  const std::vector<std::vector<LayerNumbers>> numbers = numbers_of(menu, sweep, result);
  const std::vector<LayerPicks> path = schedule_path(numbers);
  const TunePoint& first_item = *find_whole(result.points, menu.front());
  const double fixed = first_item.cost - cost_of(numbers, LayerPicks(numbers.front().size(), 0));
  size_t last = 0;
  while (last + 1 < path.size() && fixed + cost_of(numbers, path[last + 1]) < result.full_cost) ++last;

  std::vector<std::pair<size_t, bool>> tried;  // index into path, whether it is within the bounds; in the path's order
  const auto add = [&](const std::vector<size_t>& indices, const std::string& what) {
    std::vector<Settings> schedules;
    for (const size_t i : indices) schedules.push_back(by_layer(menu, path[i]));
    std::vector<TunePoint> points = sweep.evaluate(schedules, sweep.all_layers(), what);
    for (size_t i = 0; i < points.size(); ++i) tried.emplace_back(indices[i], within(points[i], result));
    std::sort(tried.begin(), tried.end());
    merge(result.points, std::move(points));
  };
  const auto n = static_cast<size_t>(options.n_schedule), n_even = (2 * n + 2) / 3;
  add(spread_over(0, last, n_even), "schedules by layer");
  // The cheapest one within the bounds lies between the last that is not and the first that is.
  const auto good = std::find_if(tried.begin(), tried.end(), [](const auto& each) { return each.second; });
  if (good == tried.end() || good == tried.begin() || n == n_even) return;
  const size_t low = std::prev(good)->first + 1, high = good->first - 1;
  if (low <= high) add(spread_over(low, high, n - n_even), "schedules by layer around the bounds");
}

}  // namespace reattend
