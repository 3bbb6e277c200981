// Gathers from rankings what lookups need, once; every loop here runs millions of times in a replay of all layers.
#include "replay/ranks.h"

#include <algorithm>
#include <bit>

namespace reattend {

void RankTable::resize(int64_t n_list, int32_t depth, int32_t n_position) {
  depth_ = depth;
  narrow_ = is_narrow(n_position);
  const auto n = static_cast<size_t>(n_list * depth);
  two_.resize(narrow_ ? n : 0), four_.resize(narrow_ ? 0 : n);
}

bool RankTable::borrow(int64_t n_list, int32_t depth, int32_t n_position, const KeptBytes& from) {
  const auto take = [&]<class T>(KeptArray<T>& to) {
    if (!from.is_of<T>(0, n_list * depth)) return false;
    const std::span<const T> all = from.of<T>(0);
    const auto beyond = [n_position](T position) { return static_cast<int64_t>(position) >= n_position; };
    if (std::ranges::any_of(all, beyond)) return false;
    resize(0, 0, n_position);
    depth_ = depth;
    from.lend(0, to);
    return true;
  };
  return is_narrow(n_position) ? take(two_) : take(four_);
}

void RankTable::set(int64_t list, const int32_t* positions, int32_t n) {
  for (int32_t i = 0; i < n; ++i) {
    const auto at = static_cast<size_t>(list * depth_ + i);
    if (narrow_) {
      two_.own()[at] = static_cast<uint16_t>(positions[i]);
    } else {
      four_.own()[at] = static_cast<uint32_t>(positions[i]);
    }
  }
}

void RankTable::copy(int64_t list, int32_t n, int32_t* out) const {
  if (narrow_) {
    std::copy_n(this->list<uint16_t>(list), n, out);
  } else {
    std::copy_n(this->list<uint32_t>(list), n, out);
  }
}

void RankedMasses::resize(int64_t n_unit, int32_t depth, bool overlaps) {
  depth_ = depth, n_sum_ = depth / kSum + 1, n_word_ = depth / kBits + 1;
  words_ = {}, sums_ = {};  // made anew; no room is wasted
  known_ = std::vector<Known>(static_cast<size_t>(n_unit));
  sums_.resize(static_cast<size_t>(n_unit * n_sum_));
  words_.resize(overlaps ? static_cast<size_t>(n_unit * n_word_) : 0);
}

template <class Index>
void RankedMasses::find(int64_t unit, int32_t list, int32_t n, const MassRow& row, const RankedEntries<Index>& entries,
                        const RankedEntries<Index>& own) {
  const int32_t from = n_known(unit, list), end = std::min(n, entries.n);
  if (n <= from) return;
  if (!words_.empty()) find_overlaps(unit, from, n, entries, own);
  MassUnits* const sums = sums_.data() + unit * n_sum_;
  MassUnits sum = from > 0 ? sums[from / kSum] : 0;
  for (int32_t i = from; i < end; i += kSum) {
    sums[i / kSum] = sum;
    sum += row.gather(entries.entries + i, std::min(kSum, end - i));
  }
  if (end >= from && end % kSum == 0) sums[end / kSum] = sum;
  known_[static_cast<size_t>(unit)] = {.list = list, .n = n};
}

template <class Index>
void RankedMasses::find_overlaps(int64_t unit, int32_t from, int32_t n, const RankedEntries<Index>& entries,
                                 const RankedEntries<Index>& own) {
  Word* const words = words_.data() + unit * n_word_;
  const int32_t n_own = std::min(n, own.n), n_entry = std::min(n, entries.n);
  int64_t both = from > 0 ? words[from / kBits].before : 0;
  for (int32_t word = from / kBits; word <= n / kBits; ++word) {
    const int32_t begin = word * kBits;
    Word bits = {.before = both, .own = 0, .other = 0};
    for (int32_t i = begin; i < std::min(begin + kBits, n_own); ++i) {
      const auto rank = static_cast<uint32_t>((*entries.ranks)[own.entries[i]]);
      bits.own |= uint64_t{rank <= static_cast<uint32_t>(i)} << (i - begin);
    }
    for (int32_t i = begin; i < std::min(begin + kBits, n_entry); ++i) {
      const auto rank = static_cast<uint32_t>((*own.ranks)[entries.entries[i]]);
      bits.other |= uint64_t{rank < static_cast<uint32_t>(i)} << (i - begin);
    }
    both += std::popcount(bits.own) + std::popcount(bits.other);
    words[word] = bits;
  }
}

int32_t RankedMasses::overlap(int64_t unit, int32_t k) const {
  const Word& word = words_[static_cast<size_t>(unit * n_word_ + k / kBits)];
  const uint64_t first = (uint64_t{1} << k % kBits) - 1;
  return static_cast<int32_t>(word.before) + std::popcount(word.own & first) + std::popcount(word.other & first);
}

template void RankedMasses::find(int64_t, int32_t, int32_t, const MassRow&, const RankedEntries<uint16_t>&,
                                 const RankedEntries<uint16_t>&);
template void RankedMasses::find(int64_t, int32_t, int32_t, const MassRow&, const RankedEntries<uint32_t>&,
                                 const RankedEntries<uint32_t>&);

}  // namespace reattend
