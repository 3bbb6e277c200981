// The CPU's selection operations under the names that kernels/choose.h and the host backends use.
#pragma once
#include "kernels/cpu/ops.h"

namespace reattend::cpu {

struct SelectOps {
  using Real = float;
  static void score_set(const float* q, int32_t group, const KvBlocks& kv, const PositionSet& set, float scale,
                        float* scores, int64_t stride) {
    cpu::score_set(q, group, kv, set, scale, scores, stride);
  }
  static void softmax(float* row, int64_t n) { cpu::softmax(row, n); }
  static void reduce_heads(const float* rows, int32_t group, int64_t stride, int64_t n, Reduce how, float* out) {
    cpu::reduce_heads(rows, group, stride, n, how, out);
  }
  static void max_pool(const float* x, int64_t n, int32_t width, float* out) { cpu::max_pool(x, n, width, out); }
  static int32_t top_k(const float* score, int32_t n, int32_t k, int32_t* out) { return cpu::top_k(score, n, k, out); }
  static double similarity(const float* q, const float* ref, int32_t n_head, int32_t d_head, Similarity how) {
    return cpu::similarity(q, ref, n_head, d_head, how);
  }
  static void page_bounds(const KvBlocks& kv, int32_t first, int32_t n, float* bounds) {
    cpu::page_bounds(kv, first, n, bounds);
  }
  static void page_scores(const float* q, int32_t group, int32_t d_head, const float* bounds, int32_t n_page,
                          float* out) {
    cpu::page_scores(q, group, d_head, bounds, n_page, out);
  }
};

}  // namespace reattend::cpu
