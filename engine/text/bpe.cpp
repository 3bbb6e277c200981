// Merging with a linked list of symbols and a heap of candidate pairs; outdated candidates are skipped when they come
// up.
#include "engine/text/bpe.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <tuple>

namespace reattend {
namespace {

uint64_t key_of(int32_t left, int32_t right) {
  return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
}

/// A part of the word; `next` and `prev` are indices, -1 at the ends. id -2: merged into the one before.
struct Symbol {
  int32_t id, prev, next;
};
constexpr int32_t kGone = -2;

/// Of two pairs of equal rank the one further left is merged first.
struct Candidate {
  int32_t rank, at, left, right, merged;
  bool operator>(const Candidate& other) const { return std::tie(rank, at) > std::tie(other.rank, other.at); }
};

}  // namespace

void BytePairs::add(int32_t left, int32_t right, int32_t merged) {
  rules_.try_emplace(key_of(left, right), Rule{static_cast<int32_t>(rules_.size()), merged});
}

const BytePairs::Rule* BytePairs::find(int32_t left, int32_t right) const {
  if (left < 0 || right < 0) return nullptr;
  const auto found = rules_.find(key_of(left, right));
  return found == rules_.end() ? nullptr : &found->second;
}

void BytePairs::encode(std::string_view word, std::vector<int32_t>& out) const {
  const auto n = static_cast<int32_t>(word.size());
  std::vector<Symbol> symbols(word.size());
  for (int32_t i = 0; i < n; ++i) {
    symbols[i] = {byte_ids_[static_cast<unsigned char>(word[i])], i - 1, i + 1 < n ? i + 1 : -1};
  }
  std::vector<Candidate> heap;
  const auto candidate = [&](int32_t at) -> std::optional<Candidate> {
    if (at < 0 || symbols[at].next < 0) return std::nullopt;
    const int32_t left = symbols[at].id, right = symbols[symbols[at].next].id;
    const Rule* rule = find(left, right);
    if (rule == nullptr) return std::nullopt;
    return Candidate{rule->rank, at, left, right, rule->merged};
  };
  for (int32_t i = 0; i + 1 < n; ++i) {
    if (const auto found = candidate(i)) heap.push_back(*found);
  }
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  const auto push = [&](int32_t at) {
    if (const auto found = candidate(at)) {
      heap.push_back(*found);
      std::push_heap(heap.begin(), heap.end(), std::greater<>());
    }
  };
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const Candidate best = heap.back();
    heap.pop_back();
    Symbol& left = symbols[best.at];
    if (left.id != best.left || left.next < 0 || symbols[left.next].id != best.right) continue;
    Symbol& right = symbols[left.next];
    left.id = best.merged;
    left.next = right.next;
    right.id = kGone;
    if (left.next >= 0) symbols[left.next].prev = best.at;
    push(left.prev);
    push(best.at);
  }
  for (int32_t i = 0; i >= 0 && i < n; i = symbols[i].next) {
    if (symbols[i].id >= 0) out.push_back(symbols[i].id);
  }
}

}  // namespace reattend
