// Ranks every row whole, so that all budgets and levels are looked up in one running sum.
#include "replay/analysis/coverage.h"

#include <algorithm>

namespace reattend {

LayerCoverage coverage(const PreparedLayer& prepared, int32_t layer, const CoverageRequest& request,
                       ThreadPool& threads, const Cancel& cancel) {
  LayerCoverage out{.layer = layer, .n_step = prepared.n_step(), .n_kv_head = prepared.n_kv_head()};
  const size_t n_unit = static_cast<size_t>(out.n_step) * out.n_kv_head;
  out.mass.resize(request.budgets.size() * n_unit), out.needed.resize(request.levels.size() * n_unit);
  struct Scratch {
    std::vector<float> row;
    MassScratch best;
  };
  std::vector<Scratch> scratch(static_cast<size_t>(threads.n_thread()));
  threads.run(static_cast<int64_t>(n_unit), [&](int64_t unit, int thread) {
    cancel.check();
    const auto t = static_cast<int32_t>(unit / out.n_kv_head) + 1, g = static_cast<int32_t>(unit % out.n_kv_head);
    const int32_t n = prepared.n_row(t);
    Scratch& s = scratch[static_cast<size_t>(thread)];
    s.row.resize(static_cast<size_t>(n));
    prepared.copy_row(g, t, s.row.data());
    best_masses(s.row.data(), n, n, s.best);
    const std::vector<double>& mass = s.best.mass;
    const auto at = static_cast<size_t>(unit);
    for (size_t i = 0; i < request.budgets.size(); ++i) {
      out.mass[i * n_unit + at] = static_cast<float>(mass[static_cast<size_t>(std::min(request.budgets[i], n))]);
    }
    for (size_t i = 0; i < request.levels.size(); ++i) {
      const auto reached = std::lower_bound(mass.begin(), mass.end(), request.levels[i] * mass.back());
      out.needed[i * n_unit + at] = static_cast<float>(std::min<int64_t>(reached - mass.begin(), n));
    }
  });
  return out;
}

Spread coverage_spread(std::span<const LayerCoverage> layers, std::vector<float> LayerCoverage::*what, size_t index) {
  std::vector<float> values;
  for (const LayerCoverage& layer : layers) {
    const auto n = static_cast<std::ptrdiff_t>(layer.n_step) * layer.n_kv_head;
    const auto from = (layer.*what).begin() + static_cast<std::ptrdiff_t>(index) * n;
    values.insert(values.end(), from, from + n);
  }
  return spread(std::move(values));
}

}  // namespace reattend
