// Merging neighbours, the best pair first: the step that byte-pair and SentencePiece tokenizers share.
#pragma once
#include <algorithm>
#include <cstdint>
#include <optional>
#include <tuple>
#include <vector>

namespace reattend {

/// A part of the text; `next` and `prev` are indices, -1 at the ends. id -1: no token of the vocabulary. Empty: merged
/// into the one before.
struct Symbol {
  int32_t begin, size, id, prev, next;
};

/// What two neighbours become, the lowest cost first.
struct Merge {
  double cost;
  int32_t id;
};

/// `symbols` [n] in a row. find(left, right) gives the Merge of two neighbours, std::nullopt where there is none. Of
/// equal costs the one further left comes first. O(n log n): a heap of candidates, in which outdated ones are skipped
/// when they come up.
template <class Find>
void merge_best_first(std::vector<Symbol>& symbols, const Find& find) {
  struct Candidate {
    double cost;
    int32_t at, left_size, right_size, id;
    bool operator<(const Candidate& other) const { return std::tie(cost, at) > std::tie(other.cost, other.at); }
  };
  std::vector<Candidate> heap;
  const auto add = [&](int32_t at) {
    if (at < 0 || symbols[at].next < 0) return false;
    const Symbol &left = symbols[at], &right = symbols[left.next];
    const std::optional<Merge> merge = find(left, right);
    if (merge) heap.push_back({merge->cost, at, left.size, right.size, merge->id});
    return merge.has_value();
  };
  for (int32_t i = 0; i < static_cast<int32_t>(symbols.size()); ++i) add(i);
  std::make_heap(heap.begin(), heap.end());
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end());
    const Candidate best = heap.back();
    heap.pop_back();
    Symbol& left = symbols[best.at];
    // Symbols only grow, so that the sizes tell whether this is still the pair that was looked up.
    if (left.size != best.left_size || left.next < 0 || symbols[left.next].size != best.right_size) continue;
    Symbol& right = symbols[left.next];
    left.id = best.id;
    left.size += right.size;
    left.next = right.next;
    right.size = 0;
    if (left.next >= 0) symbols[left.next].prev = best.at;
    for (const int32_t at : {left.prev, best.at}) {
      if (add(at)) std::push_heap(heap.begin(), heap.end());
    }
  }
}

}  // namespace reattend
