// Makes a sketch of the keys and keeps it up as keys arrive; estimates scores from it block by block.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <span>
#include <vector>

#include "base/half.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/table.h"

namespace reattend {
namespace {

using namespace cpu;

/// Blocks that are on their way from memory while one is worked on: of each a few lines, far from each other, are read,
/// and waiting for them took more than half of the time.
constexpr int32_t kBlocksAhead = 3;

/// Inlined: GCC 12 takes a function that does nothing else for one without effect, and leaves out the call.
[[gnu::always_inline]] inline void fetch(const SketchLayout& layout, const std::byte* block,
                                         std::span<const int32_t> channels) {
  constexpr int64_t kLine = 64;
  constexpr int kRead = 0, kSecondLevel = 2;  // of the first level too many would be under way
  for (int64_t at = 0; at < layout.range_bytes(); at += kLine) __builtin_prefetch(block + at, kRead, kSecondLevel);
  for (const int32_t c : channels) {
    const std::byte* const line = block + layout.codes_at() + int64_t{c} * layout.line_bytes();
    for (int64_t at = 0; at < layout.line_bytes(); at += kLine) __builtin_prefetch(line + at, kRead, kSecondLevel);
  }
}

/// Channel c of a row of the cache.
float element(const void* row, KvType type, int32_t d_head, int32_t c) {
  const auto* const from = static_cast<const std::byte*>(row);
  const auto number = [&]<class T>(T value, int64_t at) {
    std::memcpy(&value, from + at, sizeof value);
    return value;
  };
  switch (type) {
    case KvType::f32:
      return number(0.0F, int64_t{4} * c);
    case KvType::f16:
      return to_float(number(Half{}, int64_t{2} * c));
    case KvType::bf16:
      return to_float(number(BFloat16{}, int64_t{2} * c));
    case KvType::q8:
      break;
  }
  return to_float(number(Half{}, d_head + int64_t{2} * (c / kKvScaleCols))) * static_cast<float>(number(int8_t{}, c));
}

/// Keeps up one block.
class BlockWriter {
  /// Keys at once from which all that share a byte with them are coded together: the edges between codes cost as much
  /// as a few keys.
  static constexpr int32_t kMany = 16;

 public:
  BlockWriter(const KvBlocks& keys, const SketchLayout& layout, int32_t start, std::byte* block)
      : keys_(keys),
        layout_(layout),
        start_(start),
        block_(block),
        d_head_(static_cast<size_t>(layout.d_head)),
        range_(2 * d_head_),
        row_(d_head_) {}

  /// Positions [known, end) join [begin, known).
  void extend(int32_t begin, int32_t known, int32_t end) {
    std::vector<float> before;
    if (known > begin) {
      load_ranges();
      before = range_;
    } else {
      std::fill_n(range_.begin(), d_head_, std::numeric_limits<float>::infinity());
      std::fill_n(range_.begin() + static_cast<std::ptrdiff_t>(d_head_), d_head_,
                  -std::numeric_limits<float>::infinity());
    }
    for (int32_t p = known, count = 0; p < end; p += count) {  // by blocks of the cache
      count = std::min(end - p, kPiece - p % kPiece);
      table().extend_bounds(row_at(p), count, layout_.d_head, keys_.type, range_.data());
    }
    const int64_t half = layout_.range_bytes() / 2;
    table().store_row(range_.data(), layout_.d_head, layout_.bounds, block_);
    table().store_row(range_.data() + d_head_, layout_.d_head, layout_.bounds, block_ + half);
    std::vector<int32_t> widened;
    for (size_t c = 0; c < before.size() / 2; ++c) {
      if (before[c] != low(c) || before[d_head_ + c] != high(c)) widened.push_back(static_cast<int32_t>(c));
    }
    if (end - known >= kMany) return code_all(begin, widened.empty() ? known : begin, end);
    // A channel whose range has widened is coded anew: some eleven times in a block, two keys for each that comes.
    for (const int32_t c : widened) code_channel(c, begin, known);
    for (int32_t p = known; p < end; ++p) code_row(p);
  }

 private:
  float low(size_t c) const { return range_[c]; }
  float high(size_t c) const { return range_[d_head_ + c]; }
  const std::byte* row_at(int32_t p) const {
    return static_cast<const std::byte*>(keys_.keys[p / kPiece]) + p % kPiece * row_bytes(keys_.type, keys_.d_head);
  }
  std::byte* line(size_t c) const {
    return block_ + layout_.codes_at() + static_cast<int64_t>(c) * layout_.line_bytes();
  }

  void load_ranges() {
    table().load_row(block_, layout_.d_head, layout_.bounds, range_.data());
    table().load_row(block_ + layout_.range_bytes() / 2, layout_.d_head, layout_.bounds, range_.data() + d_head_);
  }

  void put(std::byte* line, SketchLayout::Place place, uint8_t code) const {
    const auto mask = static_cast<std::byte>(((1 << layout_.code_bits()) - 1) << place.shift);
    line[place.byte] = (line[place.byte] & ~mask) | std::byte{code} << place.shift;
  }

  /// The least float whose code is at least i: codes never fall from one key to a greater one. Searched for among the
  /// floats in their order, from where it must nearly be; next to 0 there are many of them.
  static float edge_of(float low, float high, int32_t i, int32_t n) {
    const double width = static_cast<double>(high) - low;
    if (!(width > 0) || !std::isfinite(width)) return std::numeric_limits<float>::infinity();
    const auto ordered = [](int32_t bits) { return bits ^ (bits >> 31 & INT32_MAX); };  // its own inverse
    const auto reaches = [&](int64_t at) {
      const auto x = std::bit_cast<float>(ordered(static_cast<int32_t>(at)));
      return n * (static_cast<double>(x) - low) >= i * width;
    };
    const int64_t guess = ordered(std::bit_cast<int32_t>(static_cast<float>(low + i * width / n)));
    int64_t below = guess - 1, above = guess;  // `below` does not reach, `above` does
    for (int64_t step = 1; reaches(below); step *= 2) above = below, below -= step;
    for (int64_t step = 1; !reaches(above); step *= 2) below = above, above += step;
    while (above - below > 1) {
      const int64_t middle = below + (above - below) / 2;
      (reaches(middle) ? above : below) = middle;
    }
    return std::bit_cast<float>(ordered(static_cast<int32_t>(above)));
  }

  /// All channels of the positions from `from` on, and of those whose codes share bytes with them.
  void code_all(int32_t begin, int32_t from, int32_t end) {
    const int32_t n = 1 << layout_.shape.bits, n_edge = n - 1;
    std::vector<float> edges(d_head_ * static_cast<size_t>(n_edge));
    for (size_t c = 0; c < d_head_; ++c) {
      for (int32_t i = 1; i < n; ++i) {
        edges[c * static_cast<size_t>(n_edge) + static_cast<size_t>(i - 1)] = edge_of(low(c), high(c), i, n);
      }
    }
    const int32_t size = SketchLayout::kLanes * 8 / layout_.code_bits();
    std::vector<const void*> rows(static_cast<size_t>(size));
    for (int32_t at = (from - start_) / size * size; at < end - start_; at += size) {
      for (int32_t i = 0; i < size; ++i) {
        const int32_t p = start_ + at + i;
        rows[static_cast<size_t>(i)] = p >= begin && p < end ? row_at(p) : nullptr;
      }
      table().code_rows({.rows = rows.data(),
                         .n = size,
                         .type = keys_.type,
                         .d_head = layout_.d_head,
                         .n_edge = n_edge,
                         .code_bits = layout_.code_bits(),
                         .line_bytes = layout_.line_bytes(),
                         .edges = edges.data(),
                         .codes = line(0) + layout_.place_of(at).byte});
    }
  }

  void code_channel(int32_t c, int32_t begin, int32_t end) {
    const auto at = static_cast<size_t>(c);
    for (int32_t p = begin; p < end; ++p) {
      const float x = element(row_at(p), keys_.type, keys_.d_head, c);
      put(line(at), layout_.place_of(p - start_), sketch_code(x, low(at), high(at), layout_.shape.bits));
    }
  }

  /// sketch_code() of all channels, beside each other.
  void code_row(int32_t p) {
    table().load_row(row_at(p), layout_.d_head, keys_.type, row_.data());
    std::vector<double> at(d_head_), width(d_head_), code(d_head_, 0.0);
    const int32_t n = 1 << layout_.shape.bits;
    for (size_t c = 0; c < d_head_; ++c) {
      width[c] = static_cast<double>(high(c)) - low(c);
      at[c] = width[c] > 0 ? n * (static_cast<double>(row_[c]) - low(c)) : -1.0;
    }
    for (int32_t i = 1; i < n; ++i) {
      for (size_t c = 0; c < d_head_; ++c) code[c] += at[c] >= i * width[c] ? 1.0 : 0.0;
    }
    const SketchLayout::Place place = layout_.place_of(p - start_);
    for (size_t c = 0; c < d_head_; ++c) put(line(c), place, static_cast<uint8_t>(static_cast<int32_t>(code[c])));
  }

  const KvBlocks& keys_;
  const SketchLayout& layout_;
  int32_t start_;
  std::byte* block_;
  size_t d_head_;
  std::vector<float> range_;  ///< [2][d_head] least, greatest
  std::vector<float> row_;    ///< [d_head]
};

}  // namespace

void Cpu::extend_sketch(const KvBlocks& keys, const SketchLayout& layout, int32_t n_known, int32_t n,
                        std::byte* blocks) {
  for (int32_t i = std::max(0, layout.n_block(n_known) - 1); i < layout.n_block(n); ++i) {
    const int32_t begin = layout.begin_of(i), end = layout.end_of(i, n), known = std::clamp(n_known, begin, end);
    if (known == end) continue;
    BlockWriter(keys, layout, layout.start_of(i), blocks + i * layout.block_bytes()).extend(begin, known, end);
  }
}

void Cpu::sketch_channels(const float* q, int32_t group, const SketchLayout& layout, const std::byte* blocks,
                          int32_t n_block, int32_t* out) {
  const int32_t d_head = layout.d_head;
  std::vector<float> widest(static_cast<size_t>(d_head), 0.0F), weight(static_cast<size_t>(d_head));
  for (int32_t i = 0; i < n_block; ++i) {
    const std::byte* const block = blocks + i * layout.block_bytes();
    table().extend_widths(block, block + layout.range_bytes() / 2, d_head, layout.bounds, widest.data());
  }
  for (int32_t c = 0; c < d_head; ++c) {
    float largest = 0;
    for (int32_t h = 0; h < group; ++h) largest = std::max(largest, std::abs(q[int64_t{h} * d_head + c]));
    weight[static_cast<size_t>(c)] = largest * widest[static_cast<size_t>(c)];
  }
  top_set(weight.data(), d_head, layout.shape.channels, -1.0F, 0, out);  // no weight is below 0
}

void Cpu::sketch_scores(const float* q, int32_t group, const SketchLayout& layout, const std::byte* blocks,
                        std::span<const int32_t> channels, int32_t begin, int32_t end, int32_t n,
                        ScoreScale<float> scale, float* out, int64_t stride, float* m, float* d, int64_t state_stride) {
  for (int32_t i = begin; i < std::min(end, begin + kBlocksAhead); ++i) {
    fetch(layout, blocks + i * layout.block_bytes(), channels);
  }
  const auto d_head = static_cast<size_t>(layout.d_head);
  const auto width = static_cast<size_t>(sketch_width(layout.d_head));
  std::vector<double> wide(static_cast<size_t>(group + 1) * width);
  for (size_t h = 0; h < static_cast<size_t>(group); ++h) {
    for (size_t c = 0; c < d_head; ++c) wide[h * width + c] = q[h * d_head + c];
  }
  const auto n_channel = static_cast<int32_t>(channels.size());
  std::vector<float> scratch(static_cast<size_t>(sketch_scratch(group, layout.d_head, n_channel)));
  for (int32_t i = begin; i < end; ++i) {
    const std::byte* const block = blocks + i * layout.block_bytes();
    if (i + kBlocksAhead < end) fetch(layout, block + kBlocksAhead * layout.block_bytes(), channels);
    const int32_t n_here = layout.end_of(i, n) - layout.start_of(i);
    float* const to = out + layout.start_of(i);
    const int64_t state = layout.start_of(i) / kPiece;
    table().estimate_block({.q = q,
                            .wide_q = wide.data(),
                            .low = block,
                            .high = block + layout.range_bytes() / 2,
                            .codes = block + layout.codes_at(),
                            .channels = channels.data(),
                            .bounds = layout.bounds,
                            .wide_middle = wide.data() + static_cast<size_t>(group) * width,
                            .group = group,
                            .d_head = layout.d_head,
                            .n_channel = n_channel,
                            .bits = layout.shape.bits,
                            .code_bits = layout.code_bits(),
                            .line_bytes = layout.line_bytes(),
                            .n = n_here,
                            .scale = scale.by,
                            .out = to,
                            .out_stride = stride,
                            .m = m != nullptr ? m + state : nullptr,
                            .d = m != nullptr ? d + state : nullptr,
                            .state_stride = state_stride,
                            .scratch = scratch.data()});
    for (int32_t h = 0; h < group && scale.cap > 0; ++h) table().cap_scores(to + h * stride, n_here, scale.cap);
  }
}

}  // namespace reattend
