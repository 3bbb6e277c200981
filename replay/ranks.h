// Rankings as they are kept, and what attention rows hold of them: looked up for any number of entries.
#pragma once
#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "replay/mass_rows.h"

namespace reattend {

/// Lists of positions in rank order: 2 bytes each where every position and rank fits, 4 otherwise.
class RankTable {
 public:
  void resize(int64_t n_list, int32_t depth, int32_t n_position);
  int32_t depth() const { return depth_; }
  static bool is_narrow(int32_t n_position) { return n_position <= std::numeric_limits<uint16_t>::max(); }
  /// positions [n], n <= depth
  void set(int64_t list, const int32_t* positions, int32_t n);
  /// out [n]: the first n <= depth, of which a list that is shorter has no more than were set
  void copy(int64_t list, int32_t n, int32_t* out) const;
  /// [depth]; Index is uint16_t iff is_narrow(n_position), uint32_t otherwise
  template <class Index>
  const Index* list(int64_t list) const {
    if constexpr (sizeof(Index) == sizeof(uint16_t)) {
      return two_.data() + list * depth_;
    } else {
      return four_.data() + list * depth_;
    }
  }
  int64_t bytes() const { return two_.bytes() + four_.bytes(); }
  /// What bytes() will be.
  static int64_t bytes_of(int64_t n_list, int32_t depth, int32_t n_position) {
    return is_narrow(n_position) ? KeptArray<uint16_t>::bytes_of(n_list * depth)
                                 : KeptArray<uint32_t>::bytes_of(n_list * depth);
  }
  bool is_borrowed() const { return two_.is_borrowed() || four_.is_borrowed(); }
  /// Of all lists, [n_list][depth].
  std::span<const std::byte> as_bytes() const { return narrow_ ? two_.as_bytes() : four_.as_bytes(); }
  /// Array 0 of `from`; false, and nothing is changed, where its size is another or a position is beyond n_position.
  bool borrow(int64_t n_list, int32_t depth, int32_t n_position, const KeptBytes& from);

 private:
  int32_t depth_ = 0;
  bool narrow_ = true;
  KeptArray<uint16_t> two_;   ///< [n_list][depth], or empty
  KeptArray<uint32_t> four_;  ///< [n_list][depth], or empty
};

/// Ranks by position, of one list at a time.
template <class Index>
class RanksByPosition {
 public:
  static constexpr Index kNone = std::numeric_limits<Index>::max();
  void resize(int32_t n_position) { ranks_.resize(static_cast<size_t>(n_position), kNone); }
  /// list [n] must stay until the next call.
  void take(const Index* list, int32_t n) {
    if (list == list_ && n == n_) return;
    for (int32_t i = 0; i < n_; ++i) ranks_[list_[i]] = kNone;
    for (int32_t i = 0; i < n; ++i) ranks_[list[i]] = static_cast<Index>(i);
    list_ = list, n_ = n;
  }
  Index operator[](Index position) const { return ranks_[position]; }

 private:
  std::vector<Index> ranks_;  ///< [n_position]
  const Index* list_ = nullptr;
  int32_t n_ = 0;
};

/// The first entries of a list; their ranks where somebody holds them against another list.
template <class Index>
struct RankedEntries {
  const Index* entries = nullptr;
  int32_t n = 0;
  const RanksByPosition<Index>* ranks = nullptr;
};

/// What steps' rows hold of the first entries of one list each, for any number of entries up to a depth, and how many
/// of them are among as many of the step's own list. Found as far as somebody asks: a stride that is dragged gives
/// every step another list, of which no more than the budget is looked at. A unit is a KV head at a step; different
/// threads may work on different units.
class RankedMasses {
 public:
  /// Forgets everything.
  void resize(int64_t n_unit, int32_t depth, bool overlaps);
  int32_t depth() const { return depth_; }
  bool has_overlaps() const { return !words_.empty(); }
  /// Up to how many entries list number `list` is known for the unit; 0 where another one is.
  int32_t n_known(int64_t unit, int32_t list) const {
    const Known& known = known_[static_cast<size_t>(unit)];
    return known.list == list ? known.n : 0;
  }
  /// Entries that are to be made known where n are asked for, more than the `known` ones: at least as many again, so
  /// that a budget that grows bit by bit does not come back for each.
  static constexpr int32_t n_to_find(int32_t n, int32_t known) {
    return std::max((n + kBits - 1) / kBits * kBits, 2 * known);
  }

  /// Makes the first n entries of list number `list` known, n <= depth(); one that is shorter is whole then. What is
  /// known already is not looked at again. `own`: the step's own list; with `overlaps` alone.
  template <class Index>
  void find(int64_t unit, int32_t list, int32_t n, const MassRow& row, const RankedEntries<Index>& entries,
            const RankedEntries<Index>& own);

  /// Mass of the list's first k entries.
  template <class Index>
  MassUnits sum(int64_t unit, const MassRow& row, const Index* entries, int32_t k) const {
    MassUnits sum = sums_[static_cast<size_t>(unit * n_sum_ + k / kSum)];
    for (int32_t i = k / kSum * kSum; i < k; ++i) sum += row[static_cast<int32_t>(entries[i])];
    return sum;
  }
  /// Positions that are among the best k of both lists.
  int32_t overlap(int64_t unit, int32_t k) const;
  int64_t bytes() const {
    return static_cast<int64_t>(sizeof(Known) * known_.size() + 4 * sums_.size() + sizeof(Word) * words_.size());
  }
  /// What bytes() will be.
  static int64_t bytes_of(int64_t n_unit, int32_t depth, bool overlaps) {
    return n_unit * (int64_t{sizeof(Known)} + 4 * (int64_t{depth} / kSum + 1) +
                     (overlaps ? (depth / kBits + 1) * int64_t{24} : 0));
  }

 private:
  static constexpr int32_t kSum = 8;    ///< entries between two sums that are known
  static constexpr int32_t kBits = 64;  ///< of a word
  template <class Index>
  void find_overlaps(int64_t unit, int32_t from, int32_t n, const RankedEntries<Index>& entries,
                     const RankedEntries<Index>& own);

  struct Known {
    int32_t list = -1, n = 0;  ///< n: a multiple of kBits, or the depth
  };
  int32_t depth_ = 0, n_sum_ = 0, n_word_ = 0;
  std::vector<Known> known_;     ///< [n_unit]
  std::vector<MassUnits> sums_;  ///< [n_unit][n_sum]
  /// Bit i of `own`: whether entry i of the step's own list is among the other's first i + 1; of `other`: whether entry
  /// i of the other is among the own first i. Both lists cut to k have as many positions in common as there are ones
  /// among the first k bits of each. `before`: ones in the words before.
  struct Word {
    int64_t before;
    uint64_t own, other;
  };
  static_assert(sizeof(Word) == 24);
  std::vector<Word> words_;  ///< [n_unit][n_word], or empty
};

}  // namespace reattend
