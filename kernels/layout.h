// Index maths of caches and position sets, shared by every executor, device code included; proved by static_assert.
#pragma once
#include <cstdint>

#include "kernels/types.h"

namespace reattend {

/// Positions of a cache block, and entries of a piece of a set: attention is computed piece by piece and the pieces'
/// states are merged in order, so results do not depend on how threads share the work.
inline constexpr int32_t kPiece = 256;

/// Last tokens of a prompt whose queries a prefill keeps, for traces and for policies that look back over a window.
inline constexpr int32_t kRememberedQueries = 64;

constexpr int32_t n_piece(int32_t n_entry) {
  return (n_entry + kPiece - 1) / kPiece;
}

/// Keys and values of one layer and KV head: position p is row p % 256 of block p / 256; a block is 256 rows.
struct KvBlocks {
  const void* const* keys;    ///< [n_block]
  const void* const* values;  ///< [n_block]
  KvType type;
  int32_t d_head;
};

/// The positions one KV head attends to, as entries in this order: the run [0, lead), the first n_kept of a kept
/// set in rank order, the run [tail, end). No position occurs twice. Complete sets are given as lead = end, the rest
/// empty.
struct PositionSet {
  int32_t lead = 0;
  const int32_t* kept = nullptr;  ///< [n_kept]
  int32_t n_kept = 0;
  int32_t tail = 0, end = 0;
  /// Where not null: keys and values of the kept entries copied in rank order, n_kept rows of `packed_type`.
  const void* packed_keys = nullptr;
  const void* packed_values = nullptr;
  KvType packed_type = KvType::f16;

  constexpr int32_t n_tail() const { return end > tail ? end - tail : 0; }
  constexpr int32_t size() const { return lead + n_kept + n_tail(); }
  /// Position of entry i in [0, size()).
  constexpr int32_t operator[](int32_t i) const {
    if (i < lead) return i;
    if (i < lead + n_kept) return kept[i - lead];
    return tail + (i - lead - n_kept);
  }
};

constexpr PositionSet everything_up_to(int32_t end) {
  return {.lead = end};
}

/// Which positions are attended to: everything, or [0, lead) ∪ a prefix of the kept set ∪ [tail, p]. What depends on
/// when the kept set was made refers to its selected_at, which lives beside the set: so a plan can be written before a
/// gate's outcome is known, and a device never has to tell it to the host.
struct Attend {
  bool everything = false;
  int32_t lead = 0;
  bool kept = false;  ///< attend to the kept set's first entries: `keep`, or with `ages` keep - (p - selected_at) + 1
  int32_t keep = 0;
  bool ages = false;
  int32_t tail = 0;  ///< the run [tail, p]; with `from_selected` [selected_at + tail, p]; never before `lead`
  bool from_selected = false;
  bool rank_rotation = false;  ///< keys rotated by their rank in the (sorted) set, the query having the last rank
};

/// The positions that `attend` means at position p (which is always among them), given the kept set as it stands:
/// its entries in rank order, how many, and the position of the step that made it. Complete sets come out as the run
/// 0..p.
constexpr PositionSet resolve(const Attend& attend, const int32_t* kept, int32_t n_kept, int32_t selected_at,
                              int32_t p) {
  if (attend.everything) return everything_up_to(p + 1);
  PositionSet set{.lead = attend.lead};
  if (attend.kept) {
    const int32_t limit = attend.ages ? attend.keep - (p - selected_at) + 1 : attend.keep;
    set.kept = kept;
    set.n_kept = limit < 0 ? 0 : limit < n_kept ? limit : n_kept;
  }
  const int32_t tail = attend.from_selected ? selected_at + attend.tail : attend.tail;
  set.tail = tail < attend.lead ? attend.lead : tail;
  set.end = p + 1;
  return set.size() == p + 1 ? everything_up_to(p + 1) : set;
}

/// Of a group of query heads: query head h reads KV head h / group.
constexpr int32_t kv_head_of(int32_t head, int32_t group) {
  return head / group;
}

}  // namespace reattend
