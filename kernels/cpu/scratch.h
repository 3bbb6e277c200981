// The working space of products and attention.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/cpu/aligned.h"
#include "kernels/cpu/ops.h"

namespace reattend {

struct Cpu::Scratch::Data {
  // ---- products
  cpu::Aligned<int8_t> quants;
  cpu::Aligned<float> scales, x;
  cpu::Aligned<int32_t> minus_sum, minus_half;
  /// Tiles [tile, tile + n_tile) of a product's weights times tokens [token, token + n_token).
  struct ProductShare {
    const Product* product;
    int64_t tile, n_tile, token, n_token;
  };
  std::vector<ProductShare> product_shares;

  // ---- attention
  /// Pieces [piece, piece + n_piece) of one KV head's set.
  struct SetShare {
    int32_t kv_head, piece, n_piece;
  };
  std::vector<SetShare> set_shares;
  std::vector<int64_t> first_state;                    ///< [n_kv_head] states of the KV heads before
  std::unique_ptr<std::atomic<int32_t>[]> unfinished;  ///< [n_kv_head] shares
  size_t n_unfinished = 0;
  /// [n_thread][group][kPieceStride]; of prompt rows [n_kv_head][n_piece][n_row][kPiece]
  cpu::Aligned<float> weights;
  cpu::Aligned<float> m, d, o;  ///< [n_piece of all KV heads][group or n_row] and, for o, [d_head]
  cpu::Aligned<float> tiles;    ///< [n_thread][of a prompt kernel, or row_scratch]
};

}  // namespace reattend
