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
  of_ = std::vector<int32_t>(static_cast<size_t>(n_unit), -1);
  sums_.resize(static_cast<size_t>(n_unit * n_sum_));
  words_.resize(overlaps ? static_cast<size_t>(n_unit * n_word_) : 0);
}

template <class Index>
void RankedMasses::set(int64_t unit, int32_t list, const MassRow& row, const Index* entries, int32_t n) {
  MassUnits* const sums = sums_.data() + unit * n_sum_;
  MassUnits sum = 0;
  for (int32_t i = 0; i < n; i += kSum) {
    sums[i / kSum] = sum;
    sum += row.gather(entries + i, std::min(kSum, n - i));
  }
  if (n % kSum == 0) sums[n / kSum] = sum;
  of_[static_cast<size_t>(unit)] = list;
}

template <class Index>
void RankedMasses::set_overlaps(int64_t unit, const Index* own, int32_t n_own, const RanksByPosition<Index>& own_ranks,
                                const Index* entries, int32_t n, const RanksByPosition<Index>& ranks) {
  Word* const words = words_.data() + unit * n_word_;
  int64_t both = 0;
  for (int32_t word = 0; word < n_word_; ++word) {
    const int32_t begin = word * kBits;
    Word bits = {.before = both, .own = 0, .other = 0};
    for (int32_t i = begin; i < std::min(begin + kBits, n_own); ++i) {
      bits.own |= uint64_t{static_cast<uint32_t>(ranks[own[i]]) <= static_cast<uint32_t>(i)} << (i - begin);
    }
    for (int32_t i = begin; i < std::min(begin + kBits, n); ++i) {
      bits.other |= uint64_t{static_cast<uint32_t>(own_ranks[entries[i]]) < static_cast<uint32_t>(i)} << (i - begin);
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

template void RankedMasses::set(int64_t, int32_t, const MassRow&, const uint16_t*, int32_t);
template void RankedMasses::set(int64_t, int32_t, const MassRow&, const uint32_t*, int32_t);
template void RankedMasses::set_overlaps(int64_t, const uint16_t*, int32_t, const RanksByPosition<uint16_t>&,
                                         const uint16_t*, int32_t, const RanksByPosition<uint16_t>&);
template void RankedMasses::set_overlaps(int64_t, const uint32_t*, int32_t, const RanksByPosition<uint32_t>&,
                                         const uint32_t*, int32_t, const RanksByPosition<uint32_t>&);

}  // namespace reattend
