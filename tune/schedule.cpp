// Finds the path of schedules by greedy steps along the layers' convex hulls.
#include "tune/schedule.h"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "base/error.h"
#include "policies/layer_schedule.h"

namespace reattend {
namespace {

/// A layer's way from one corner of its hull to the next dearer one.
struct Step {
  size_t layer;
  int32_t item;
  double gain;  ///< error saved per cost
};

/// Corners of the lower convex hull over cost, cheapest first: items that some price of error makes the best.
std::vector<int32_t> corners_of(std::span<const std::vector<LayerNumbers>> menu, size_t layer) {
  const auto at = [&](int32_t item) { return menu[static_cast<size_t>(item)][layer]; };
  std::vector<int32_t> order(menu.size()), corners;
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return at(a).cost != at(b).cost ? at(a).cost < at(b).cost : at(a).error < at(b).error;
  });
  const auto gain = [&](int32_t from, int32_t to) {
    return (at(from).error - at(to).error) / (at(to).cost - at(from).cost);
  };
  for (const int32_t item : order) {
    if (!corners.empty() && at(item).error >= at(corners.back()).error) continue;  // dearer and no better
    while (corners.size() > 1 && gain(corners[corners.size() - 2], corners.back()) < gain(corners.back(), item)) {
      corners.pop_back();
    }
    corners.push_back(item);
  }
  return corners;
}

}  // namespace

std::vector<LayerPicks> schedule_path(std::span<const std::vector<LayerNumbers>> menu) {
  const size_t n_layer = menu.empty() ? 0 : menu.front().size();
  const bool ragged = std::any_of(menu.begin(), menu.end(), [&](const auto& item) { return item.size() != n_layer; });
  if (n_layer == 0 || ragged) {
    fail({.where = "schedule by layer",
          .expected = "a menu with a number for every layer",
          .got = fmt::format("{} items, {} layers in the first", menu.size(), n_layer),
          .remedy = {}});
  }
  LayerPicks picks;
  std::vector<Step> steps;
  for (size_t layer = 0; layer < n_layer; ++layer) {
    const std::vector<int32_t> corners = corners_of(menu, layer);
    picks.push_back(corners.front());
    for (size_t i = 1; i < corners.size(); ++i) {
      const LayerNumbers from = menu[static_cast<size_t>(corners[i - 1])][layer];
      const LayerNumbers to = menu[static_cast<size_t>(corners[i])][layer];
      steps.push_back({layer, corners[i], (from.error - to.error) / (to.cost - from.cost)});
    }
  }
  // Gains fall along a layer's hull, so a stable order never takes a layer's steps out of turn.
  std::stable_sort(steps.begin(), steps.end(), [](const Step& a, const Step& b) { return a.gain > b.gain; });
  std::vector<LayerPicks> path = {picks};
  for (const Step& step : steps) {
    picks[step.layer] = step.item;
    path.push_back(picks);
  }
  return path;
}

std::vector<size_t> spread_over(size_t first, size_t last, size_t n) {
  std::vector<size_t> out;
  const size_t length = last - first;
  for (size_t i = 0; i < n; ++i) {
    const size_t at = n > 1 ? first + (length * i + (n - 1) / 2) / (n - 1) : first;
    if (out.empty() || out.back() != at) out.push_back(at);
  }
  return out;
}

Settings by_layer(std::span<const Settings> menu, const LayerPicks& picks, const RunShape& model) {
  std::vector<Settings> layers;
  for (int32_t l = 0; l < model.n_layer; ++l) {
    // Nobody reads the entry of a layer with a window; it gets that of the next one without, or of the last.
    const size_t acting = std::min(static_cast<size_t>(model.n_acting_before(l)), picks.size() - 1);
    layers.push_back(menu[static_cast<size_t>(picks[acting])]);
  }
  return join_layers(layers);
}

}  // namespace reattend
