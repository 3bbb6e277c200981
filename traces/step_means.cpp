// Sums a measure over steps, layers and KV heads, whatever the type of its numbers.
#include "traces/step_means.h"

#include <fmt/format.h>

#include "base/statistics.h"

namespace reattend {

std::vector<Measure> measures_of(const TraceInfo& info) {
  std::vector<Measure> out;
  for (const schema::Dataset& row : schema::kDatasets) {
    if (row.title.empty() || !is_stored(row, info)) continue;
    const std::string key(row.key.empty() ? row.name : row.key), title(row.title);
    if (!row.has(schema::overlap)) {
      out.push_back({.row = &row, .key = key, .title = title});
      continue;
    }
    const size_t n = info.overlap_k.size();
    for (size_t i = 0; i < n; ++i) {
      const int64_t k = info.overlap_k[i];
      out.push_back({&row, i, n, fmt::format("{}_{}", key, k), fmt::format("{} {}", title, k)});
    }
  }
  return out;
}

double mean_of(const Measure& measure, const TraceInfo& info, const StepData& steps, const Over& over) {
  Mean mean;
  const auto add_all = [&](const auto& values) {
    if (values.empty() || (measure.by_layer() && over.layer >= 0 && !info.stores(over.layer))) return;
    const auto n_layer = static_cast<size_t>(measure.by_layer() ? info.n_layer : 1),
               n_head = static_cast<size_t>(measure.by_kv_head() ? info.n_kv_head : 1);
    const size_t first = over.kv_head < 0 || n_head == 1 ? 0 : static_cast<size_t>(over.kv_head);
    const size_t last = over.kv_head < 0 ? n_head : first + 1;
    const auto add_layer = [&](size_t t, size_t layer) {
      for (size_t head = first; head < last; ++head) {
        const size_t at = ((t * n_layer + layer) * n_head + head) * measure.n_part + measure.part;
        mean.add(static_cast<double>(values[at]));
      }
    };
    for (int32_t t = over.first_step; t <= over.last_step; ++t) {
      const auto row = static_cast<size_t>(t - 1);
      if (n_layer == 1 || over.layer >= 0) {
        add_layer(row, n_layer == 1 ? 0 : static_cast<size_t>(over.layer));
        continue;
      }
      for (int32_t i = 0; i < info.n_stored(); ++i) add_layer(row, static_cast<size_t>(info.stored_layer(i)));
    }
  };
  std::visit(
      [&](auto column) {
        if constexpr (!std::is_same_v<decltype(column), std::monostate>) {
          if constexpr (std::is_arithmetic_v<schema::ElementOf<decltype(column)>>) add_all(steps.*column);
        }
      },
      measure.row->column);
  return mean.value();
}

}  // namespace reattend
