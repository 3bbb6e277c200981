// Ranks the candidates of a choice as the kernels do that keep the best of them.
#include "replay/choice.h"

#include <algorithm>
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

void rank_candidates(Choice& choice) {
  std::vector<int32_t> order(choice.scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](int32_t a, int32_t b) {
    return choice.scores[static_cast<size_t>(a)] > choice.scores[static_cast<size_t>(b)];
  });
  choice.ranks.resize(order.size());
  for (size_t i = 0; i < order.size(); ++i) choice.ranks[static_cast<size_t>(order[i])] = static_cast<int32_t>(i);
}

}  // namespace reattend
