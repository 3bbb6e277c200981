// What an instruction set supplies: one table of inner kernels over plain pointers, filled once per target.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "kernels/layout.h"
#include "kernels/quant.h"
#include "kernels/selection.h"

namespace reattend::cpu {

/// Rows of a packed matrix that are worked on together: one per lane.
inline constexpr int kTileRows = 16;
/// Columns that share a scale, of weights and of quantised activations.
inline constexpr int kBlockCols = 32;
/// Row pointers that scores() and mix() may read past their last one, to prefetch. One thread over caches in huge pages
/// takes 8.7 ns a position of 8,192 with 64, 9.5 with 32, 10.4 with 16, 9.3 with 128; of 1,024 lone rows 9.8, 12, 18
/// and 10.5: the rows on their way also bridge the pass over the weights and the next piece's pointers.
inline constexpr int kRowsAhead = 64;
/// Room for a piece's scores, and what scores() may overwrite behind them.
inline constexpr int kPieceStride = kPiece + 16;
/// Rows of a RowTile's weights are a multiple of this: of what any target computes at once.
inline constexpr int kRowPad = 48;

/// Columns of a super-block, whose scales share a scale.
inline constexpr int kSuperCols = 256;

/// Bits of a quant that lie in its first plane: nibbles, where there are that many.
[[gnu::always_inline]] constexpr int low_bits(int bits) {
  return bits == 8 ? 8 : bits >= 4 ? 4 : 2;
}

/// Where a tile of 16 rows keeps its parts. Quantised: quants [n_block][quant_bytes], scales f16 [n_block][16] at
/// scales_at, minima f16 [n_block][16] at minima_at. Where scales share a scale, at scales_at for each super-block: f16
/// d [16], f16 m [16] if there are minima, then scales and minima as bytes, four groups of columns of a row side by
/// side: [groups / 4][16][4]; of 4 bits a scale and its minimum share a byte. Others: elements [n_col][16].
///
/// A block's quants are one plane of their lower 8, 4 or 2 bits (low_bits) and one of the other 1 or 2, if there are
/// any. A plane of p bits is p lines of [16 rows][4] bytes: columns 4k ... 4k + 3 are in line k % p, at bit
/// p (k / p) of its bytes.
struct TileLayout {
  TensorType type;
  int64_t n_col, n_block, tile_bytes;
  int64_t quant_bytes, scales_at, minima_at;
  int32_t bits, offset;  ///< of the quants, as in TensorFormat; 0 where elements are numbers of their own
  bool has_minima;
  int32_t scale_cols, scale_offset;  ///< as in TensorFormat; 0 where scales are f16
  int64_t super_bytes;               ///< of a super-block's scales and minima
  int32_t scale_bits;                ///< as in TensorFormat
  bool has_codes;
};

/// Activations of `width` tokens (a power of two), interleaved so that an inner loop walks one pointer.
struct TokenTile {
  int width;
  int8_t* quants;       ///< [n_col / 4][width][4]
  float* scales;        ///< [n_block][width]
  int32_t* minus_sum;   ///< [n_block][width] minus the sum of the block's quants
  int32_t* minus_half;  ///< [n_block][width] minus the sum of its first 16; null where no scale is for 16 columns
  float* x;             ///< [n_col][width], the unquantised path
};

/// A tile of prompt queries of one KV head's group, at positions first ... first + n_token - 1. All of them have their
/// last position in the same piece. Query row (t, h) lies at q + t * token_stride + h * d_head, and so does its output.
struct PromptTile {
  const float* q;
  float* out;
  int64_t token_stride;
  int32_t n_token, first;
  int32_t group, d_head;
  ScoreScale<float> scale;
  int32_t window;             ///< positions that a query attends to at most, its own the last; 0: all
  const void* const* keys;    ///< [n_piece] blocks, null where nobody's window reaches
  const void* const* values;  ///< [n_piece]
  KvType type;
  int32_t aligned_end;  ///< end of the tile's place among tiles, whatever part of it this chunk has
  float* scratch;       ///< [PromptKernel::scratch(n_token * group, d_head)]
};

/// Prompt attention with products of one kind.
struct PromptKernel {
  int64_t (*scratch)(int n_row, int d_head);  ///< floats
  void (*run)(const PromptTile& tile);
};

/// Prompt queries of one KV head's group, at positions first ... first + n_token - 1, and one piece of keys, the first
/// of which all of them see. Query row (t, h) is number t * group + h and lies at q + t * token_stride + h * d_head.
struct RowTile {
  const float* q;
  int64_t token_stride;
  int32_t n_token, first;
  int32_t group, d_head;
  ScoreScale<float> scale;
  const void* keys;  ///< [kPiece] rows
  KvType type;
  int32_t begin;   ///< position of the first key
  float* weights;  ///< [n_token * group, rounded up to kRowPad][kPiece]
  float *m, *d;    ///< [n_token * group]
  float* sums;     ///< [group][sum_stride], column 0 is the first key's
  int64_t sum_stride;
  float* scratch;  ///< [row_scratch(d_head)]
};

/// Keys of a sketch whose codes share their bytes.
struct CodeTile {
  const void* const* rows;  ///< [n], null where there is none: its code is 0
  int32_t n;                ///< 16 for each vector that shares the bytes
  KvType type;
  int32_t d_head, n_edge, code_bits, line_bytes;
  const float* edges;  ///< [d_head][n_edge]: a code is how many of them its key reaches
  std::byte* codes;    ///< [d_head][line_bytes], of which 16 bytes each are written
};

/// Positions of one block of a sketch, and the query heads of one KV head.
struct SketchTile {
  const float* q;               ///< [group][d_head]
  const double* wide_q;         ///< the same, [group][sketch_width(d_head)], 0 behind a head's last channel
  const std::byte *low, *high;  ///< ranges, rows of a cache of type `bounds`
  const std::byte* codes;       ///< [d_head][line_bytes], as SketchLayout says
  const int32_t* channels;      ///< [n_channel] that are read, ascending
  KvType bounds;
  double* wide_middle;  ///< [sketch_width(d_head)] working space, 0 behind the last channel
  int32_t group, d_head, n_channel, bits, code_bits, line_bytes;
  int32_t n;  ///< positions, from the block's start on
  float scale;
  float* out;  ///< [group][out_stride], n of each row are written
  int64_t out_stride;
  /// Where not null, and where n is a whole piece: [group], `state_stride` apart. The scores are weighed as weigh()
  /// does, and these are their states.
  float *m, *d;
  int64_t state_stride;
  float* scratch;  ///< [sketch_scratch(group, d_head, n_channel)]
};
/// Channels that a sum in double is made of, whole vectors.
constexpr int64_t sketch_width(int64_t d_head) {
  return (d_head + 7) / 8 * 8;
}
constexpr int64_t sketch_scratch(int64_t group, int64_t d_head, int64_t n_channel) {
  return 2 * d_head + group * n_channel + group;
}

struct KernelTable {
  std::string_view name;
  int tokens;  ///< the largest TokenTile::width, a power of two

  /// x [width][n_col] -> quants, scales, minus_sum of the tile.
  void (*quantize)(const float* x, int64_t n_col, const TokenTile& tile);
  /// y[t][r] = products of n_tile tiles of 16 rows with the tile's tokens; n_row rows are written.
  void (*product_q8)(const TileLayout& layout, const std::byte* tiles, int64_t n_tile, const TokenTile& tokens,
                     float* y, int64_t y_stride, int64_t n_row);
  void (*product_f32)(const TileLayout& layout, const std::byte* tiles, int64_t n_tile, const TokenTile& tokens,
                      float* y, int64_t y_stride, int64_t n_row);

  void (*rms_norm)(const float* x, const float* w, int64_t n, float eps, float* y);
  void (*swiglu)(const float* gate, const float* up, int64_t n, float* y);
  void (*geglu)(const float* gate, const float* up, int64_t n, float* y);
  void (*add)(float* x, const float* y, int64_t n);
  /// x [n] -> a row of a cache, and back.
  void (*store_row)(const float* x, int n, KvType type, void* row);
  void (*load_row)(const void* row, int n, KvType type, float* out);

  /// out[h][i] = q_h row_i scale for rows [n + kRowsAhead], q [group][d_head]. Up to three floats
  /// past out[h][n - 1] are overwritten.
  void (*scores)(const float* q, int group, int d_head, const void* const* rows, int n, KvType type, float scale,
                 float* out, int64_t out_stride);
  /// In place: x [n] -> cap * tanh(x / cap)
  void (*cap_scores)(float* x, int64_t n, float cap);
  /// In place: scores [n] -> exp(score - m) with m = their maximum; d = the sum of that. n >= 1.
  void (*weigh)(float* scores, int n, float* m, float* d);
  /// o[h] += sum_i weights[h][i] row_i; o [group][d_head]
  void (*mix)(const float* weights, int64_t weight_stride, int group, int d_head, const void* const* rows, int n,
              KvType type, float* o);
  /// out [d_head] = the merge of n states in order, normalised; their m and d lie `stride` floats apart, o
  /// `stride` * d_head.
  void (*merge_states)(const float* m, const float* d, const float* o, int64_t n, int64_t stride, int d_head,
                       float* out);

  PromptKernel prompt;

  int64_t (*row_scratch)(int d_head);
  /// Of the tile's rows over this piece: m, the highest score; weights, exp(score - m); d, their sum.
  void (*row_states)(const RowTile& tile);
  /// States [n_piece][stride] of the pieces of rows in order -> in place of d, what takes a piece's weights to those of
  /// the whole row: exp(m - the highest m) / the sum of all. stride is a multiple of 16; a piece that a row does not
  /// see has m = -infinity and d = 0.
  void (*merge_row_states)(const float* m, float* d, int64_t n_piece, int64_t stride);
  /// sums[h][i] += weights[row][i] d[row] for the keys i of the piece that a row sees, row by row in order.
  void (*add_rows)(const RowTile& tile);

  /// In place: weights [n] that weigh() made piece by piece -> the softmax row; m and d of the pieces lie `stride`
  /// floats apart.
  void (*finish_row)(float* row, int64_t n, const float* m, const float* d, int64_t stride);
  /// The same, reduced over a group without being written: rows [group][stride], their states m and d
  /// [group][state_stride], shares [group][n_piece] of working space -> out [n].
  void (*reduce_weights)(const float* rows, int32_t group, int64_t stride, int64_t n, const float* m, const float* d,
                         int64_t state_stride, Reduce how, float* shares, float* out);
  void (*reduce_heads)(const float* rows, int32_t group, int64_t stride, int64_t n, Reduce how, float* out);
  /// out[i] = max(a[i], b[i])
  void (*max_of)(const float* a, const float* b, int64_t n, float* out);
  /// Widens bounds [2][d_head], minima and maxima by channel, by n rows one behind the other.
  void (*extend_bounds)(const void* rows, int n, int d_head, KvType type, float* bounds);
  /// How many of the keys are >= limit.
  int32_t (*count_at_least)(const int32_t* keys, int32_t n, int32_t limit);
  /// Their indices, ascending; up to 16 more are overwritten.
  void (*find_at_least)(const int32_t* keys, int32_t n, int32_t limit, int32_t* out);
  /// Integers that are greater where the score is higher; -0 counts as 0.
  void (*rank_keys)(const float* scores, int32_t n, int32_t* keys);

  void (*code_rows)(const CodeTile& tile);
  /// widest[c] = max(widest[c], high_c - low_c); low and high are rows of a cache, widest [d_head].
  void (*extend_widths)(const void* low, const void* high, int d_head, KvType type, float* widest);
  /// Scores estimated: what the middles of all ranges give, then the channels read in their order, then the scale;
  /// rounded after each.
  void (*estimate_block)(const SketchTile& tile);
};

/// The table in use.
const KernelTable& table();
/// Prompt attention by bf16 products; null where the machine, or the target in use, has none.
const PromptKernel* bf16_prompt();
/// Puts another target's table in use, for tests and benchmarks; throws Error (usage) when this machine lacks it. Not
/// while a kernel runs.
void use_target(std::string_view name);
/// The targets of this program that this machine can run, slowest first.
std::span<const std::string_view> available_targets();

const KernelTable& scalar_table();
#if defined(__x86_64__)
const KernelTable& avx2_table();
const KernelTable& avx512_table();
const PromptKernel& avx512_bf16_prompt();
#endif

}  // namespace reattend::cpu
