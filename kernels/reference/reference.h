// Every operation in double precision and plain loops: slow on purpose, the judge of all other kernels.
#pragma once
#include <cstdint>
#include <memory_resource>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/attn_state.h"
#include "kernels/layout.h"
#include "kernels/quant.h"
#include "kernels/selection.h"
#include "kernels/sketch.h"

namespace reattend {

/// The members of Cpu (kernels/cpu/ops.h), where shapes and meaning are described, with double for every activation. A
/// pool only shares out independent outputs: nothing here is summed across tasks.
struct Reference {
  using Real = double;
  struct Scratch {};

  /// A dequantised weight matrix.
  struct Matrix {
    int64_t n_row = 0, n_col = 0;
    std::vector<float> w;  ///< [n_row][n_col]
    int64_t bytes() const { return static_cast<int64_t>(w.size() * sizeof(float)); }
    void row(int64_t row, double* out) const;
  };
  /// Takes none of `memory`: what is guarded between operations is the CPU's business.
  static Matrix pack(const TensorView& tensor, std::pmr::memory_resource* memory = nullptr);
  static int64_t packed_bytes(const TensorView&) { return 0; }

  struct Product {
    const Matrix* w;
    double* y;         ///< [n_token][y_stride], the first n_row of each row are written
    int64_t y_stride;  ///< doubles
  };
  /// Activations are taken as they are, whatever is asked for.
  static void matmul(ThreadPool& pool, const Scratch& scratch, Activations how, const double* x, int64_t n_token,
                     std::span<const Product> products);

  static void rms_norm(const double* x, const double* w, int64_t n, double eps, double* y);
  static void swiglu(const double* gate, const double* up, int64_t n, double* y);
  static void geglu(const double* gate, const double* up, int64_t n, double* y);
  static void add(double* x, const double* y, int64_t n);
  static void store_kv(const double* x, int32_t d_head, KvType type, void* row);
  static void load_kv(const void* row, int32_t d_head, KvType type, double* out);

  /// One query head q [d_head] over the entries [begin, end) of a set. scores: null or [set.size()], of which the
  /// entries' q k scale are written.
  static AttnState<double> attend_entries(const double* q, const KvBlocks& kv, const PositionSet& set, int32_t begin,
                                          int32_t end, ScoreScale<double> scale, double* scores);
  static void attend(ThreadPool& pool, const Scratch& scratch, const double* q, int32_t group,
                     std::span<const KvBlocks> kv, std::span<const PositionSet> sets, ScoreScale<double> scale,
                     double* out, double* const* rows, int64_t stride);
  static void score_set(const double* q, int32_t group, const KvBlocks& kv, const PositionSet& set,
                        ScoreScale<double> scale, double* scores, int64_t score_stride);
  static void score_run(const double* q, int32_t group, const KvBlocks& kv, int32_t n, ScoreScale<double> scale,
                        double* scores, int64_t score_stride);
  static void attend_prompt(ThreadPool& pool, const Scratch& scratch, const double* q, int32_t n_token, int32_t first,
                            int32_t group, std::span<const KvBlocks> kv, ScoreScale<double> scale, int32_t window,
                            PromptProducts products, double* out);
  static void sum_prompt_rows(ThreadPool& pool, const Scratch& scratch, const double* q, int32_t n_token, int32_t first,
                              int32_t group, std::span<const KvBlocks> kv, ScoreScale<double> scale, double* sums,
                              int64_t sum_stride);

  static void softmax(double* row, int64_t n);
  static void weigh(double* row, int64_t n, double* m, double* d);
  static void reduce_weights(const double* rows, int32_t group, int64_t stride, int64_t n, const double* m,
                             const double* d, int64_t state_stride, Reduce how, double* out);
  static void reduce_heads(const double* rows, int32_t group, int64_t stride, int64_t n, Reduce how, double* out);
  static void max_pool(const double* x, int64_t n, int32_t width, double* out);
  static int32_t top_k(const double* score, int32_t n, int32_t k, int32_t* out);
  static int32_t top_set(const double* score, int32_t n, int32_t k, double least, int32_t n_least, int32_t* out);
  static void page_bounds(const KvBlocks& kv, int32_t first, int32_t n, double* bounds);
  static void page_scores(const double* q, int32_t group, int32_t d_head, const double* bounds, int32_t n_page,
                          double* out);
  static void extend_sketch(const KvBlocks& keys, const SketchLayout& layout, int32_t n_known, int32_t n,
                            std::byte* blocks);
  static void sketch_channels(const double* q, int32_t group, const SketchLayout& layout, const std::byte* blocks,
                              int32_t n_block, int32_t* out);
  static void sketch_scores(const double* q, int32_t group, const SketchLayout& layout, const std::byte* blocks,
                            std::span<const int32_t> channels, int32_t begin, int32_t end, int32_t n,
                            ScoreScale<double> scale, double* out, int64_t stride, double* m, double* d,
                            int64_t state_stride);
  static double similarity(const double* q, const double* ref, int32_t n_head, int32_t d_head, Similarity how);
};

}  // namespace reattend
