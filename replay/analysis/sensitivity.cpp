// Replays a layer alone at each budget, the largest first, so that it is prepared once.
#include "replay/analysis/sensitivity.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace reattend {

LayerSensitivity sensitivity(Replayer& replayer, int32_t layer, const Settings& base, std::span<const int32_t> budgets,
                             const Cancel& cancel) {
  std::vector<size_t> order(budgets.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return budgets[a] > budgets[b]; });
  LayerSensitivity out{.layer = layer, .at = std::vector<ReplaySummary>(budgets.size())};
  for (const size_t i : order) {
    Settings settings = base;
    settings.set("K", int64_t{budgets[i]});
    out.at[i] = replayer.run({.settings = settings, .layers = {layer}}, {}, cancel).total;
  }
  return out;
}

std::vector<int32_t> places(std::span<const double> values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const auto key = [&](size_t i) { return std::isnan(values[i]) ? -INFINITY : values[i]; };
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return key(a) > key(b); });
  std::vector<int32_t> out(values.size());
  for (size_t i = 0; i < order.size(); ++i) out[order[i]] = static_cast<int32_t>(i) + 1;
  return out;
}

}  // namespace reattend
