// Sorts what the step loses by weight, and cuts off what hardly weighs.
#include "viz/session/next_lost.h"

#include <algorithm>

#include "viz/session/session.h"

namespace reattend::viz {

std::vector<int32_t> heaviest_lost(const Session& session) {
  if (session.trace() == nullptr) return {};
  const int32_t step = session.selection().step, n = session.trace()->info.n_prompt + step;
  struct Lost {
    float weight;
    int32_t position;
  };
  std::vector<Lost> lost;
  double all = 0;
  for (int32_t j = 0; j < n; ++j) {
    const std::optional<float> weight = session.weight(step, j);
    if (!weight || session.attended(step, j).value_or(true)) continue;
    lost.push_back({*weight, j});
    all += *weight;
  }
  std::ranges::stable_sort(lost, std::ranges::greater{}, &Lost::weight);
  std::vector<int32_t> out;
  double held = 0;
  for (const Lost& each : lost) {
    if (held >= kMostOfLoss * all) break;
    held += each.weight;
    out.push_back(each.position);
  }
  std::ranges::sort(out);
  return out;
}

std::optional<int32_t> next_lost(const Session& session, int direction) {
  const std::vector<int32_t> lost = heaviest_lost(session);
  if (lost.empty()) return {};
  const int32_t from = session.selection().position;
  if (direction > 0) {
    const auto next = std::ranges::upper_bound(lost, from);
    return next == lost.end() ? lost.front() : *next;
  }
  const auto at = std::ranges::lower_bound(lost, from);
  return from < 0 || at == lost.begin() ? lost.back() : *std::prev(at);
}

}  // namespace reattend::viz
