// The sketch of the keys by its definition: ranges and codes of a block from all of its keys, estimates term by term.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/reference/reference.h"

namespace reattend {
namespace {

/// Ranges of a block: low and high [d_head].
struct Ranges {
  std::vector<double> low, high;
  Ranges(const SketchLayout& layout, const std::byte* block)
      : low(static_cast<size_t>(layout.d_head)), high(static_cast<size_t>(layout.d_head)) {
    Reference::load_kv(block, layout.d_head, layout.bounds, low.data());
    Reference::load_kv(block + layout.range_bytes() / 2, layout.d_head, layout.bounds, high.data());
  }
};

std::byte* line_of(const SketchLayout& layout, std::byte* block, size_t channel) {
  return block + layout.codes_at() + static_cast<int64_t>(channel) * layout.line_bytes();
}

void make_block(const KvBlocks& keys, const SketchLayout& layout, int32_t start, int32_t begin, int32_t end,
                std::byte* block) {
  const auto width = static_cast<size_t>(layout.d_head);
  std::vector<double> rows(static_cast<size_t>(end - begin) * width), low(width), high(width);
  for (int32_t p = begin; p < end; ++p) {
    double* const row = rows.data() + static_cast<size_t>(p - begin) * width;
    const auto* const from = static_cast<const std::byte*>(keys.keys[p / kPiece]);
    Reference::load_kv(from + p % kPiece * row_bytes(keys.type, keys.d_head), layout.d_head, keys.type, row);
    for (size_t c = 0; c < width; ++c) {
      low[c] = p == begin ? row[c] : std::min(low[c], row[c]);
      high[c] = p == begin ? row[c] : std::max(high[c], row[c]);
    }
  }
  std::fill_n(block, layout.block_bytes(), std::byte{0});
  Reference::store_kv(low.data(), layout.d_head, layout.bounds, block);
  Reference::store_kv(high.data(), layout.d_head, layout.bounds, block + layout.range_bytes() / 2);
  for (int32_t p = begin; p < end; ++p) {
    const auto [byte, shift] = layout.place_of(p - start);
    for (size_t c = 0; c < width; ++c) {
      const double x = rows[static_cast<size_t>(p - begin) * width + c];
      line_of(layout, block, c)[byte] |= std::byte{sketch_code(x, low[c], high[c], layout.shape.bits)} << shift;
    }
  }
}

}  // namespace

void Reference::extend_sketch(const KvBlocks& keys, const SketchLayout& layout, int32_t n_known, int32_t n,
                              std::byte* blocks) {
  for (int32_t i = 0; i < layout.n_block(n); ++i) {
    if (layout.end_of(i, n) <= n_known) continue;
    make_block(keys, layout, layout.start_of(i), layout.begin_of(i), layout.end_of(i, n),
               blocks + i * layout.block_bytes());
  }
}

void Reference::sketch_channels(const double* q, int32_t group, const SketchLayout& layout, const std::byte* blocks,
                                int32_t n_block, int32_t* out) {
  const auto width = static_cast<size_t>(layout.d_head);
  std::vector<double> weight(width), most(width);
  for (int32_t i = 0; i < n_block; ++i) {
    const Ranges ranges(layout, blocks + i * layout.block_bytes());
    for (size_t c = 0; c < width; ++c) most[c] = std::max(most[c], ranges.high[c] - ranges.low[c]);
  }
  for (size_t c = 0; c < width; ++c) {
    double largest = 0;
    for (int32_t h = 0; h < group; ++h) largest = std::max(largest, std::abs(q[static_cast<size_t>(h) * width + c]));
    weight[c] = largest * most[c];
  }
  top_k(weight.data(), layout.d_head, layout.shape.channels, out);
  std::sort(out, out + layout.shape.channels);
}

void Reference::sketch_scores(const double* q, int32_t group, const SketchLayout& layout, const std::byte* blocks,
                              std::span<const int32_t> channels, int32_t begin, int32_t end, int32_t n,
                              ScoreScale<double> scale, double* out, int64_t stride, double* m, double* d,
                              int64_t state_stride) {
  const int32_t bins = 1 << layout.shape.bits;
  for (int32_t i = begin; i < end; ++i) {
    const std::byte* const block = blocks + i * layout.block_bytes();
    const Ranges ranges(layout, block);
    for (int32_t p = layout.begin_of(i); p < layout.end_of(i, n); ++p) {
      const auto [byte, shift] = layout.place_of(p - layout.start_of(i));
      for (int32_t h = 0; h < group; ++h) {
        double sum = 0;
        for (int32_t c = 0; c < layout.d_head; ++c) {
          const double low = ranges.low[static_cast<size_t>(c)], high = ranges.high[static_cast<size_t>(c)];
          double place = bins / 2.0;  // in the block's range, in steps
          if (std::binary_search(channels.begin(), channels.end(), c)) {
            const std::byte codes = block[layout.codes_at() + int64_t{c} * layout.line_bytes() + byte];
            place = (std::to_integer<int32_t>(codes) >> shift & (bins - 1)) + 0.5;
          }
          sum += q[int64_t{h} * layout.d_head + c] * (low + place * (high - low) / bins);
        }
        out[h * stride + p] = scale(sum);
      }
    }
    for (int32_t h = 0; h < group && m != nullptr; ++h) {
      const int64_t state = h * state_stride + layout.start_of(i) / kPiece;
      weigh(out + h * stride + layout.start_of(i), kPiece, m + state, d + state);
    }
  }
}

}  // namespace reattend
