// Where a sketch of the keys keeps its parts, what a choice reads of it, and a row estimated from it: shared by every
// executor.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/layout.h"
#include "kernels/selection.h"

namespace reattend {

/// The sketch of one KV head: blocks of equal size one behind the other, each the range of its keys by channel (least,
/// then greatest, as rows of a cache) and the codes channel by channel, a line of whole bytes each. Positions are
/// coded in vectors of 16 with a byte each, a few vectors sharing the bytes: 256 positions of 2 bits are 64 bytes.
struct SketchLayout {
  static constexpr int32_t kLanes = 16;
  static constexpr int64_t kAlign = 64;

  Sketch shape;
  int32_t d_head = 0;
  KvType bounds = KvType::f32;  ///< how ranges are kept: nothing is rounded

  /// Of at most n_most positions; a block need be no larger than that.
  static constexpr SketchLayout of(const Sketch& shape, KvType kv, int32_t d_head, int32_t n_most) {
    SketchLayout out{.shape = shape, .d_head = d_head, .bounds = kv == KvType::q8 ? KvType::f32 : kv};
    out.shape.block = std::min(shape.block, std::max(n_most, 1));
    return out;
  }

  /// Bits that a code takes: a power of two.
  constexpr int32_t code_bits() const { return shape.bits <= 2 ? shape.bits : shape.bits <= 4 ? 4 : 8; }
  constexpr int32_t line_bytes() const {
    const int32_t n_vector = (shape.block + kLanes - 1) / kLanes, shared = 8 / code_bits();
    return (n_vector + shared - 1) / shared * kLanes;
  }
  constexpr int64_t range_bytes() const { return 2 * row_bytes(bounds, d_head); }
  constexpr int64_t codes_at() const { return (range_bytes() + kAlign - 1) / kAlign * kAlign; }
  constexpr int64_t block_bytes() const {
    return (codes_at() + int64_t{d_head} * line_bytes() + kAlign - 1) / kAlign * kAlign;
  }
  constexpr int32_t first_block() const { return shape.first / shape.block; }
  /// Of the positions before n; block i of the sketch is block first_block() + i of the positions.
  constexpr int32_t n_block(int32_t n) const {
    return n <= shape.first ? 0 : (n - 1) / shape.block + 1 - first_block();
  }
  constexpr int32_t start_of(int32_t i) const { return (first_block() + i) * shape.block; }
  constexpr int32_t begin_of(int32_t i) const { return std::max(shape.first, start_of(i)); }
  constexpr int32_t end_of(int32_t i, int32_t n) const { return std::min(n - start_of(i), shape.block) + start_of(i); }
  int64_t bytes(int32_t n) const { return n_block(n) * block_bytes(); }

  /// Of the position `at` behind its block's start_of(): the byte of its channel's line, and the bits in it.
  struct Place {
    int32_t byte, shift;
  };
  constexpr Place place_of(int32_t at) const {
    const int32_t shared = 8 / code_bits(), vector = at / kLanes;
    return {vector / shared * kLanes + at % kLanes, vector % shared * code_bits()};
  }
  /// Bytes that a choice among n positions reads: all ranges, and the codes of the channels read.
  constexpr int64_t bytes_read(int32_t n) const {
    int64_t bytes = 0;
    for (int32_t i = 0; i < n_block(n); ++i) {
      const int64_t size = end_of(i, n) - begin_of(i);
      bytes += range_bytes() + shape.channels * ((shape.bits * size + 7) / 8);
    }
    return bytes;
  }
};

/// The code of a key's channel x in the range [low, high]: how many of i = 1 .. 2^bits - 1 have
/// 2^bits (x - low) >= i (high - low); doubles are exact for keys of 16 bits. 0 where the range is a point.
constexpr uint8_t sketch_code(double x, double low, double high, int32_t bits) {
  const int32_t n = 1 << bits;
  const double at = n * (x - low), width = high - low;
  if (!(width > 0)) return 0;
  int32_t code = 0;
  for (int32_t i = 1; i < n; ++i) code += at >= i * width ? 1 : 0;
  return static_cast<uint8_t>(code);
}

/// The row of position n - 1 over 0 .. n - 1, estimated, for the query heads of one KV head: weights relative to the
/// maximum of their piece in rows [group][stride], with the pieces' states in m and d [group][state_stride]
/// (Ops::weigh). Positions before the sketch and n - 1, which is behind it, are scored exactly. q [group][d_head],
/// channels [read], ascending; n - 1 positions are sketched, n are in `keys`.
template <class Ops>
void estimate_row(const typename Ops::Real* q, int32_t group, const KvBlocks& keys, const SketchLayout& layout,
                  const std::byte* blocks, std::span<const int32_t> channels, int32_t n,
                  ScoreScale<typename Ops::Real> scale, typename Ops::Real* rows, int64_t stride, typename Ops::Real* m,
                  typename Ops::Real* d, int64_t state_stride) {
  using Real = typename Ops::Real;
  const auto estimate = [&](int32_t begin, int32_t end, Real* tops, Real* sums) {
    if (begin < end) {
      Ops::sketch_scores(q, group, layout, blocks, channels, begin, end, n - 1, scale, rows, stride, tops, sums,
                         state_stride);
    }
  };
  // Blocks [low, high) are whole pieces without an exact score in them: weighed as they are estimated.
  const bool fits = layout.shape.block == kPiece && scale.cap <= 0;
  const int32_t low = fits && layout.shape.first != layout.start_of(0) ? 1 : 0;
  const int32_t high = fits ? std::max(low, (n - 1) / kPiece - layout.first_block()) : 0;
  estimate(0, low, nullptr, nullptr);
  estimate(low, high, m, d);
  estimate(high, layout.n_block(n - 1), nullptr, nullptr);
  std::vector<Real> exact;
  const auto score = [&](const PositionSet& set, int32_t at) {
    const int32_t size = set.size();
    exact.resize(static_cast<size_t>(group) * static_cast<size_t>(size));
    Ops::score_set(q, group, keys, set, scale, exact.data(), size);
    for (int32_t h = 0; h < group; ++h) std::copy_n(exact.data() + int64_t{h} * size, size, rows + h * stride + at);
  };
  if (layout.shape.first > 0) score({.lead = layout.shape.first}, 0);
  score({.tail = n - 1, .end = n}, n - 1);
  const auto weigh = [&](int32_t begin, int32_t end) {
    for (int32_t h = 0; h < group && begin < end; ++h) {
      const int64_t state = h * state_stride + begin / kPiece;
      Ops::weigh(rows + h * stride + begin, end - begin, m + state, d + state);
    }
  };
  const int32_t from = low < high ? layout.start_of(low) : 0, to = low < high ? layout.start_of(high) : 0;
  weigh(0, from), weigh(to, n);
}

/// What estimate_scores() works in; kept between calls.
template <class Real>
struct SketchSpace {
  std::vector<Real> rows;  ///< [group][n, to whole vectors]
  std::vector<Real> m, d;  ///< [group][n_piece] states of their pieces
  std::vector<int32_t> channels;
};

/// Scores of the positions 0 .. n - 1 by that row: out [n]. The blocks hold the n - 1 positions before the last.
template <class Ops>
void estimate_scores(const typename Ops::Real* q, int32_t group, const KvBlocks& keys, const SketchLayout& layout,
                     const std::byte* blocks, int32_t n, ScoreScale<typename Ops::Real> scale, Reduce how,
                     SketchSpace<typename Ops::Real>& space, typename Ops::Real* out) {
  const int64_t stride = (int64_t{n} + 63) / 64 * 64, n_state = n_piece(n);
  const auto n_row = static_cast<size_t>(group * stride);
  if (space.rows.size() < n_row) space.rows.resize(2 * n_row);  // it grows by a position a step
  space.m.resize(static_cast<size_t>(group * n_state)), space.d.resize(space.m.size());
  space.channels.resize(static_cast<size_t>(layout.shape.channels));
  Ops::sketch_channels(q, group, layout, blocks, layout.n_block(n - 1), space.channels.data());
  estimate_row<Ops>(q, group, keys, layout, blocks, space.channels, n, scale, space.rows.data(), stride, space.m.data(),
                    space.d.data(), n_state);
  Ops::reduce_weights(space.rows.data(), group, stride, n, space.m.data(), space.d.data(), n_state, how, out);
}

}  // namespace reattend
