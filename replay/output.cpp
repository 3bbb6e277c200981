// Computes attention over a set with the engine's kernel; kept rows that serve more than one step are packed in rank
// order, as in the engine.
#include "replay/output.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/attn_state.h"
#include "kernels/cpu/ops.h"

namespace reattend {
namespace {

/// Bits of one position's row in a block list of keys or values.
const std::byte* row_of(const void* const* blocks, int32_t position, int64_t row_bytes) {
  return static_cast<const std::byte*>(blocks[position / kPiece]) + position % kPiece * row_bytes;
}

}  // namespace

void HeadOutput::keep(const int32_t* kept, int32_t n_kept) {
  kept_ = kept, n_kept_ = n_kept, n_packed_ = 0;
}

/// Only differences of positions matter to q k, so the query stays at p and a key of rank r is turned to
/// r + p - (n - 1): the run that ends at p stays as it is, and only what lies before it is rotated.
PositionSet HeadOutput::rotated_by_rank(const PositionSet& set) {
  const int32_t n = set.size(), p = set.end - 1, d = prepared_.d_head();
  std::vector<int32_t> positions(static_cast<size_t>(n));
  for (int32_t i = 0; i < n; ++i) positions[i] = set[i];
  std::sort(positions.begin(), positions.end());
  const auto moved = [&](int32_t rank) { return rank + p - (n - 1) - positions[rank]; };
  int32_t n_moved = 0;
  while (n_moved < n && moved(n_moved) != 0) ++n_moved;
  const KvBlocks kv = prepared_.blocks(kv_head_);
  const int64_t bytes = row_bytes(kv.type, d);
  order_.assign(positions.begin(), positions.begin() + n_moved);
  rotated_keys_.resize(static_cast<size_t>(n_moved) * d), rotated_values_.resize(rotated_keys_.size());
  for (int32_t r = 0; r < n_moved; ++r) {
    Cpu::load_kv(row_of(kv.keys, order_[r], bytes), d, kv.type, rotated_keys_.data() + r * d);
    Cpu::load_kv(row_of(kv.values, order_[r], bytes), d, kv.type, rotated_values_.data() + r * d);
    rope_.rotate(rotated_keys_.data() + r * d, 1, moved(r));
  }
  return {.kept = order_.data(),
          .n_kept = n_moved,
          .tail = p + 1 - (n - n_moved),
          .end = p + 1,
          .packed_keys = rotated_keys_.data(),
          .packed_values = rotated_values_.data(),
          .packed_type = KvType::f32};
}

void HeadOutput::error(int32_t t, const PositionSet& attended, const Branch& branch, float* error) {
  const int32_t group = prepared_.group(), d = prepared_.d_head();
  if (attended.size() == prepared_.position(t) + 1) {
    std::fill_n(error, group, 0.0F);
    return;
  }
  const KvBlocks kv = prepared_.blocks(kv_head_);
  PositionSet set = attended;
  if (branch.attend.rank_rotation) {
    set = rotated_by_rank(attended);
  } else if (set.n_kept > 0 && branch.leaves_kept()) {
    const int64_t bytes = row_bytes(kv.type, d);
    packed_keys_.resize(static_cast<size_t>(n_kept_ * bytes)), packed_values_.resize(packed_keys_.size());
    for (; n_packed_ < set.n_kept; ++n_packed_) {
      const int64_t at = n_packed_ * bytes;
      std::memcpy(packed_keys_.data() + at, row_of(kv.keys, kept_[n_packed_], bytes), bytes);
      std::memcpy(packed_values_.data() + at, row_of(kv.values, kept_[n_packed_], bytes), bytes);
    }
    set.packed_keys = packed_keys_.data(), set.packed_values = packed_values_.data(), set.packed_type = kv.type;
  }
  m_.resize(group), d_.resize(group), o_.resize(static_cast<size_t>(group) * d);
  sum_m_.assign(group, -std::numeric_limits<float>::infinity());
  sum_d_.assign(group, 0), sum_o_.assign(static_cast<size_t>(group) * d, 0);
  const float* q = prepared_.query(t) + int64_t{kv_head_} * group * d;
  for (int32_t piece = 0; piece < n_piece(set.size()); ++piece) {
    Cpu::attend_piece(q, group, kv, set, piece, prepared_.scale(), m_.data(), d_.data(), o_.data(), nullptr, 0);
    for (int32_t h = 0; h < group; ++h) {
      merge<float>(sum_m_[h], sum_d_[h], std::span<float>(sum_o_.data() + h * d, d), m_[h], d_[h],
                   std::span<const float>(o_.data() + h * d, d));
    }
  }
  const float* full = prepared_.output(t) + int64_t{kv_head_} * group * d;
  for (int32_t h = 0; h < group; ++h) {
    double difference = 0, norm = 0;
    for (int32_t c = 0; c < d; ++c) {
      const double f = full[h * d + c], delta = sum_o_[h * d + c] / sum_d_[h] - f;
      difference += delta * delta, norm += f * f;
    }
    error[h] = static_cast<float>(difference == 0 ? 0 : std::sqrt(difference / norm));
  }
}

}  // namespace reattend
