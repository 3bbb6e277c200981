// Means over the heads of each step.
#include "replay/head_means.h"

#include "base/statistics.h"

namespace reattend {

HeadMeans head_means(const TraceInfo& info, const LayerReplay& replay) {
  const auto n_step = static_cast<size_t>(info.n_step);
  HeadMeans out;
  const auto fill = [n_step](std::vector<float>& means, int32_t n_head, const auto& value) {
    const auto n = static_cast<size_t>(n_head);
    means.resize(n_step);
    for (size_t s = 0; s < n_step; ++s) {
      Mean mean;
      for (size_t h = 0; h < n; ++h) mean.add(value(s * n + h));
      means[s] = static_cast<float>(mean.value());
    }
  };
  fill(out.decision, info.n_kv_head, [&](size_t at) { return static_cast<float>(replay.full[at]); });
  fill(out.lost_mass, info.n_kv_head, [&](size_t at) { return 1 - replay.recovered[at]; });
  fill(out.lost_overlap, info.n_kv_head, [&](size_t at) { return 1 - replay.overlap[at]; });
  fill(out.output_error, replay.output_error.empty() ? 0 : info.n_head,
       [&](size_t at) { return replay.output_error[at]; });
  return out;
}

}  // namespace reattend
