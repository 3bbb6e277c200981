// Ranks the candidates of a choice as the kernels do that keep the best of them.
#include "replay/choice.h"

#include <algorithm>
#include <functional>
#include <numeric>

namespace reattend {

int32_t Choice::index_of(int32_t position) const {
  const int32_t candidate = position / what.page;
  if (candidates.empty()) {
    return candidate >= begin && candidate < begin + n_candidate() ? candidate - begin : -1;
  }
  const auto at = std::ranges::lower_bound(candidates, candidate);
  return at != candidates.end() && *at == candidate ? static_cast<int32_t>(at - candidates.begin()) : -1;
}

std::vector<int32_t> ranks_of(std::span<const float> scores) {  // [n]
  std::vector<int32_t> order(scores.size()), ranks(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, std::ranges::greater{}, [&](int32_t i) { return scores[static_cast<size_t>(i)]; });
  for (size_t i = 0; i < order.size(); ++i) ranks[static_cast<size_t>(order[i])] = static_cast<int32_t>(i);
  return ranks;
}

}  // namespace reattend
