// The CPU's operations: vectorised, chosen at run time for the machine, bit-equal for any number of threads.
#pragma once
#include <cstdint>
#include <memory>
#include <memory_resource>
#include <span>
#include <string_view>

#include "base/thread_pool.h"
#include "kernels/layout.h"
#include "kernels/quant.h"
#include "kernels/selection.h"
#include "kernels/sketch.h"

namespace reattend {

/// One of the types that executors take their arithmetic from, the engine's host backend and the replay alike;
/// Reference (kernels/reference/reference.h) has the same members.
struct Cpu {
  using Real = float;

  /// The instruction set in use; the best this machine has, or the one REATTEND_CPU names (scalar, avx2, avx512).
  static std::string_view target_name();

  /// Working space of products and attention; grows as needed. One call at a time.
  class Scratch {
   public:
    Scratch();
    ~Scratch();
    Scratch(Scratch&&) noexcept;
    Scratch& operator=(Scratch&&) noexcept;

    struct Data;
    std::unique_ptr<Data> data;  ///< belongs to the kernels
  };

  // ---- weights

  /// A weight matrix in the kernels' own order (same bits, rows interleaved); about the size it has in the file.
  class Matrix {
   public:
    Matrix();
    ~Matrix();
    Matrix(Matrix&&) noexcept;
    Matrix& operator=(Matrix&&) noexcept;
    int64_t n_row() const;
    int64_t n_col() const;
    TensorType type() const;
    /// Bytes that one product reads.
    int64_t bytes() const;
    /// Row `row` as floats, out [n_col]: the embedding look-up.
    void row(int64_t row, float* out) const;

    struct Data;
    std::unique_ptr<Data> data;  ///< belongs to the kernels
  };
  /// Copies and interleaves. n_col must be a multiple of the type's block size. The copy lies in `memory`; matrices
  /// that are used one after the other should lie so, too, for the end of one fetches what is behind it.
  static Matrix pack(const TensorView& tensor, std::pmr::memory_resource* memory = std::pmr::new_delete_resource());
  /// What pack() takes of `memory`.
  static int64_t packed_bytes(const TensorView& tensor);

  /// y = x w^T for one matrix; several products of the same x form one parallel region.
  struct Product {
    const Matrix* w;
    float* y;          ///< [n_token][y_stride], the first n_row of each row are written
    int64_t y_stride;  ///< floats
  };
  /// x [n_token][n_col]. Each y[t][row] is summed in an order that depends on n_col alone: neither n_token nor the
  /// pool changes a bit.
  static void matmul(ThreadPool& pool, Scratch& scratch, Activations how, const float* x, int64_t n_token,
                     std::span<const Product> products);

  // ---- elementwise, one token

  /// y[i] = x[i] / sqrt(mean(x^2) + eps) * w[i]; x, w, y [n]
  static void rms_norm(const float* x, const float* w, int64_t n, float eps, float* y);
  /// y[i] = silu(gate[i]) * up[i]; all [n], y may be gate
  static void swiglu(const float* gate, const float* up, int64_t n, float* y);
  /// y[i] = gelu(gate[i]) * up[i] by the tanh approximation; all [n], y may be gate
  static void geglu(const float* gate, const float* up, int64_t n, float* y);
  /// x[i] += y[i]; [n]
  static void add(float* x, const float* y, int64_t n);
  /// Rounds x [d_head] to a row of the cache's type: row_bytes(type, d_head).
  static void store_kv(const float* x, int32_t d_head, KvType type, void* row);
  /// The other way; exact.
  static void load_kv(const void* row, int32_t d_head, KvType type, float* out);

  // ---- attention

  /// Softmax attention of the group's query heads of one KV head over piece `piece` (entries 256 piece ... ) of `set`.
  /// The scores of a position are the same bits whichever piece or set it is in, and the same that score_run() gives.
  /// q [group][d_head]; m, d [group]; o [group][d_head] unnormalised; weights [group][stride] or null receives
  /// exp(score
  /// - m) per entry, counted from the start of the set: what finish_row() makes a softmax row of.
  static void attend_piece(const float* q, int32_t group, const KvBlocks& kv, const PositionSet& set, int32_t piece,
                           ScoreScale<float> scale, float* m, float* d, float* o, float* weights, int64_t stride);

  /// All query heads of a layer at one decode step. sets [n_kv_head], kv [n_kv_head], q and out [n_kv_head *
  /// group][d_head]. Work is split over (KV head, piece) and merged in piece order. rows: null, or per KV head null or
  /// [group][stride], receives the softmax rows over the sets, the bits that softmax() makes of score_set()'s scores.
  static void attend(ThreadPool& pool, Scratch& scratch, const float* q, int32_t group, std::span<const KvBlocks> kv,
                     std::span<const PositionSet> sets, ScoreScale<float> scale, float* out, float* const* rows,
                     int64_t stride);

  /// scores[h][i] = q_h k_set[i], scaled, for the entries i of the set in its order, the group's heads of one KV head.
  static void score_set(const float* q, int32_t group, const KvBlocks& kv, const PositionSet& set,
                        ScoreScale<float> scale, float* scores, int64_t score_stride);
  /// The same for the positions in [0, n).
  static void score_run(const float* q, int32_t group, const KvBlocks& kv, int32_t n, ScoreScale<float> scale,
                        float* scores, int64_t score_stride);

  /// Causal attention of n_token prompt tokens at positions first ... first + n_token - 1, whose keys and values are in
  /// the cache already. q and out [n_token][n_kv_head * group][d_head]. A token's result does not depend on n_token.
  /// window > 0: each attends to that many positions at most, the last ones, its own among them; blocks before the
  /// first token's are not read. Throws Error for products that has_bf16_prompt() says are not there.
  static void attend_prompt(ThreadPool& pool, Scratch& scratch, const float* q, int32_t n_token, int32_t first,
                            int32_t group, std::span<const KvBlocks> kv, ScoreScale<float> scale, int32_t window,
                            PromptProducts products, float* out);
  /// bf16 products (AVX512-BF16) are there for the instruction set in use.
  static bool has_bf16_prompt();

  /// Adds the softmax rows of n_token prompt tokens at positions first ... first + n_token - 1 to sums [n_kv_head *
  /// group][sum_stride]: token by token, the row of the token at p to sums[h][0 .. p]. Their keys are in the cache
  /// already; q [n_token][n_kv_head * group][d_head]. A row does not depend on n_token, and rows are added in the order
  /// of their tokens: neither the prompt's cut nor the pool changes a bit. Memory: the rows of 32 tokens, 4 bytes per
  /// query head and position (9 MB for 9 heads at 8,192), of fewer where that is more than 16 MB, down to 8; and 80 KB
  /// a thread.
  static void sum_prompt_rows(ThreadPool& pool, Scratch& scratch, const float* q, int32_t n_token, int32_t first,
                              int32_t group, std::span<const KvBlocks> kv, ScoreScale<float> scale, float* sums,
                              int64_t sum_stride);

  // ---- selection

  /// In place: row [n] of scores -> softmax, computed by pieces, as attention computes it.
  static void softmax(float* row, int64_t n);
  /// The last part of that: weights [n] relative to the maximum of their piece -> softmax; m and d of the pieces lie
  /// `stride` floats apart.
  static void finish_row(float* row, int64_t n, const float* m, const float* d, int64_t stride);
  /// In place: row [n] of scores, from the first entry of a piece on -> weights relative to the maximum of their piece;
  /// m and d [n_piece]: that maximum, and the piece's sum of weights.
  static void weigh(float* row, int64_t n, float* m, float* d);
  /// reduce_heads() of the softmax rows that such weights make: rows [group][stride], their states m and d
  /// [group][state_stride] -> out [n]
  static void reduce_weights(const float* rows, int32_t group, int64_t stride, int64_t n, const float* m,
                             const float* d, int64_t state_stride, Reduce how, float* out);
  /// rows [group][stride] -> out [n] (n <= stride)
  static void reduce_heads(const float* rows, int32_t group, int64_t stride, int64_t n, Reduce how, float* out);
  /// Centred running maximum of odd width, cut at both ends; x and out [n], not the same memory.
  static void max_pool(const float* x, int64_t n, int32_t width, float* out);
  /// The k highest of score [n] in rank order, equal scores by lower index first; returns min(k, n) = how many of out
  /// are written. The k-th score is found by bisection, then the k are sorted.
  static int32_t top_k(const float* score, int32_t n, int32_t k, int32_t* out);

  /// The same k, but ascending, and of them only those that score at least `least` or are among the best n_least:
  /// returns how many; out has room for min(k, n).
  static int32_t top_set(const float* score, int32_t n, int32_t k, float least, int32_t n_least, int32_t* out);

  /// Makes the blocks of a sketch (layout.bytes(n), zeros where nothing was made) hold positions layout.shape.first ..
  /// n - 1, of which those before n_known are in them already. The bytes do not depend on the steps in which it grew.
  static void extend_sketch(const KvBlocks& keys, const SketchLayout& layout, int32_t n_known, int32_t n,
                            std::byte* blocks);
  /// out [layout.shape.channels], ascending: the channels with the greatest max_h |q_hc| max_b (high - low)_bc over
  /// the group and the sketch's n_block blocks, of equal ones the lower. q [group][d_head].
  static void sketch_channels(const float* q, int32_t group, const SketchLayout& layout, const std::byte* blocks,
                              int32_t n_block, int32_t* out);
  /// out [group][stride]: scores of the positions below n in the blocks [begin, end) of a sketch, each from its block's
  /// start on, estimated by the channels given (ascending), scaled. In float, in the order that docs/semantics.md
  /// prescribes, but for the scale. m and d: null, or [group][state_stride] for the states of blocks that are whole
  /// pieces, whose scores are weighed (weigh()); not of scores that are capped.
  static void sketch_scores(const float* q, int32_t group, const SketchLayout& layout, const std::byte* blocks,
                            std::span<const int32_t> channels, int32_t begin, int32_t end, int32_t n,
                            ScoreScale<float> scale, float* out, int64_t stride, float* m, float* d,
                            int64_t state_stride);

  /// bounds [2][d_head]: of each channel the lowest and the highest value among the keys of the positions first ...
  /// first + n - 1, n >= 1. Exact.
  static void page_bounds(const KvBlocks& kv, int32_t first, int32_t n, float* bounds);
  /// out [n_page] = the highest over the group's heads of sum_c max(q_c min_c, q_c max_c), which no key of the page
  /// exceeds. q [group][d_head], bounds [n_page][2][d_head].
  static void page_scores(const float* q, int32_t group, int32_t d_head, const float* bounds, int32_t n_page,
                          float* out);

  /// Cosine of two sets of query heads, q and ref [n_head][d_head], as docs/semantics.md, "Recycled attention", defines
  /// `similarity_reduce`. 0 where one is all zero.
  static float similarity(const float* q, const float* ref, int32_t n_head, int32_t d_head, Similarity how);
};

}  // namespace reattend
