// Shares weight products out over the pool: activations are prepared once, then tiles of rows times tiles of tokens.
#include <algorithm>
#include <bit>
#include <string>
#include <vector>

#include "base/error.h"
#include "kernels/cpu/matrix.h"
#include "kernels/cpu/scratch.h"

namespace reattend {

namespace {

using namespace cpu;

/// Decoding: about 1.5 us of streaming a task, large against taking it and small against a region's tail.
constexpr int64_t kTaskBytes = 24 << 10;
/// Prefill: tokens of a task; the weights of its tiles stay in the second-level cache between token tiles.
constexpr int64_t kTaskTokens = 64;
/// Below this, preparing the activations is quicker than opening a region for it.
constexpr int64_t kTokensToShare = 16;

bool takes_q8(const Cpu::Product& product, Activations how) {
  return how == Activations::q8 && format_of(product.w->type()).is_quantised();
}

/// The tile of tokens from `first` on, as it lies in the scratch memory. Widths are powers of two: a kernel for every
/// width would double the code, and only a prompt's last few tokens would use the others.
TokenTile token_tile(const Cpu::Scratch::Data& scratch, int64_t first, int tokens, int64_t n_token, int64_t n_col,
                     bool halves) {
  const int64_t n_block = n_col / kBlockCols;
  return {.width = static_cast<int>(std::bit_floor(static_cast<uint64_t>(std::min<int64_t>(tokens, n_token - first)))),
          .quants = scratch.quants.get() + first * n_col,
          .scales = scratch.scales.get() + first * n_block,
          .minus_sum = scratch.minus_sum.get() + first * n_block,
          .minus_half = halves ? scratch.minus_half.get() + first * n_block : nullptr,
          .x = scratch.x.get() + first * n_col};
}

void interleave(const float* x, int64_t n_col, const TokenTile& tile) {
  for (int64_t c = 0; c < n_col; ++c) {
    for (int t = 0; t < tile.width; ++t) tile.x[c * tile.width + t] = x[t * n_col + c];
  }
}

/// Decoding takes large shares first, for long streams, and small ones last, for an even end: a thread's share of all
/// that is left read 49 GB/s where half of that read 42. Prefill takes equal ones.
void plan_tasks(Cpu::Scratch::Data& scratch, std::span<const Cpu::Product> products, int64_t n_token, int n_thread) {
  scratch.product_shares.clear();
  int64_t bytes_left = 0;
  for (const Cpu::Product& product : products) bytes_left += product.w->bytes();
  for (const Cpu::Product& product : products) {
    const Cpu::Matrix::Data& w = *product.w->data;
    const int64_t tile_bytes = std::max<int64_t>(1, w.layout.tile_bytes);
    for (int64_t tile = 0, step = 0; tile < w.n_tile; tile += step) {
      const int64_t share = n_token == 1 ? std::max(kTaskBytes, bytes_left / n_thread) : kTaskBytes;
      step = std::min(std::max<int64_t>(1, share / tile_bytes), w.n_tile - tile);
      bytes_left -= step * tile_bytes;
      for (int64_t token = 0; token < n_token; token += kTaskTokens) {
        scratch.product_shares.push_back({&product, tile, step, token, std::min(kTaskTokens, n_token - token)});
      }
    }
  }
}

}  // namespace

void Cpu::matmul(ThreadPool& pool, Scratch& space, Activations how, const float* x, int64_t n_token,
                 std::span<const Product> products) {
  if (products.empty() || n_token <= 0) return;
  Scratch::Data& scratch = *space.data;
  const KernelTable& kernels = table();
  const int64_t n_col = products[0].w->n_col(), n_block = n_col / kBlockCols;
  bool any_q8 = false, any_f32 = false, halves = false;  // halves: of blocks have scales of their own
  for (const Product& product : products) {
    if (product.w->n_col() != n_col) {
      fail({.where = "matmul",
            .expected = "matrices of " + std::to_string(n_col) + " columns",
            .got = std::to_string(product.w->n_col()),
            .remedy = ""});
    }
    (takes_q8(product, how) ? any_q8 : any_f32) = true;
    halves = halves || product.w->data->layout.scale_cols == kBlockCols / 2;
  }
  if (any_q8) {
    scratch.quants.reserve(n_token * n_col);
    scratch.scales.reserve(n_token * n_block);
    scratch.minus_sum.reserve(n_token * n_block);
    if (halves) scratch.minus_half.reserve(n_token * n_block);
  }
  if (any_f32) scratch.x.reserve(n_token * n_col);

  const auto prepare = [&](int64_t i, int) {
    const int64_t end = std::min(n_token, (i + 1) * kernels.tokens);
    for (int64_t first = i * kernels.tokens; first < end;) {
      const TokenTile tile = token_tile(scratch, first, kernels.tokens, n_token, n_col, halves);
      if (any_q8) kernels.quantize(x + first * n_col, n_col, tile);
      if (any_f32) interleave(x + first * n_col, n_col, tile);
      first += tile.width;
    }
  };
  const int64_t n_token_tile = (n_token + kernels.tokens - 1) / kernels.tokens;
  if (n_token >= kTokensToShare) {
    pool.run(n_token_tile, prepare);
  } else {
    for (int64_t i = 0; i < n_token_tile; ++i) prepare(i, 0);
  }

  plan_tasks(scratch, products, n_token, pool.n_at_once());
  pool.run(static_cast<int64_t>(scratch.product_shares.size()), [&](int64_t i, int) {
    const Scratch::Data::ProductShare& task = scratch.product_shares[static_cast<size_t>(i)];
    const Product& product = *task.product;
    const Matrix::Data& w = *product.w->data;
    const auto run = takes_q8(product, how) ? kernels.product_q8 : kernels.product_f32;
    const int64_t row = task.tile * kTileRows;
    for (int64_t token = task.token; token < task.token + task.n_token;) {
      const TokenTile tokens = token_tile(scratch, token, kernels.tokens, n_token, n_col, halves);
      run(w.layout, w.tiles.get() + task.tile * w.layout.tile_bytes, task.n_tile, tokens,
          product.y + token * product.y_stride + row, product.y_stride, w.n_row - row);
      token += tokens.width;
    }
  });
}

}  // namespace reattend
