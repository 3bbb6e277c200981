// Shares attention out over the pool: pieces of position sets for a decoded token, tiles of queries for a prompt.
#include <algorithm>
#include <array>
#include <atomic>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/table.h"

namespace reattend {
namespace {

using namespace cpu;

/// The rows of a piece. Behind the last key come the first values, and behind the last value the first keys of the
/// piece that the same thread does next, if any: what is prefetched past an end is what is needed next.
struct PieceRows {
  std::array<const void*, kPiece + kRowsAhead> keys, values;
};

/// A stretch of a piece whose rows have one type.
struct Stretch {
  int begin, end;  ///< entries of the piece
  KvType type;
};

/// Rows of the entries [begin, begin + n) of a set, out [n].
void find_rows(const KvBlocks& kv, const PositionSet& set, bool values, int32_t begin, int n, const void** out) {
  const void* const* const blocks = values ? kv.values : kv.keys;
  const auto* const packed = static_cast<const std::byte*>(values ? set.packed_values : set.packed_keys);
  const int64_t bytes = row_bytes(kv.type, kv.d_head), packed_bytes = row_bytes(set.packed_type, kv.d_head);
  const int32_t kept_end = set.lead + set.n_kept;
  const auto row_at = [&](int32_t p) { return static_cast<const std::byte*>(blocks[p / kPiece]) + p % kPiece * bytes; };
  const auto put_run = [](const std::byte* first, int64_t stride, int count, const void** to) {
    int j = 0;  // by four: one at a time took a tenth of the attention
    for (; j + 4 <= count; j += 4, first += 4 * stride) {
      to[j] = first, to[j + 1] = first + stride, to[j + 2] = first + 2 * stride, to[j + 3] = first + 3 * stride;
    }
    for (; j < count; ++j, first += stride) to[j] = first;
  };
  for (int i = 0, count = 0; i < n; i += count, out += count) {
    const int32_t entry = begin + i;
    if (entry >= set.lead && entry < kept_end) {
      count = std::min(n - i, kept_end - entry);
      if (packed != nullptr) {
        put_run(packed + (entry - set.lead) * packed_bytes, packed_bytes, count, out);
      } else {
        for (int j = 0; j < count; ++j) out[j] = row_at(set.kept[entry - set.lead + j]);
      }
    } else {  // a run, up to the end of its block
      const int32_t p = set[entry];
      count = std::min({n - i, kPiece - p % kPiece, entry < set.lead ? set.lead - entry : n - i});
      put_run(row_at(p), bytes, count, out);
    }
  }
}

PieceRows rows_of(const KvBlocks& kv, const PositionSet& set, int32_t begin, int n, bool goes_on) {
  PieceRows rows;
  find_rows(kv, set, false, begin, n, rows.keys.data());
  find_rows(kv, set, true, begin, n, rows.values.data());
  const int n_next = goes_on ? std::min(kRowsAhead, set.size() - begin - n) : 0;
  find_rows(kv, set, false, begin + n, n_next, rows.values.data() + n);
  for (int i = n_next; i < kRowsAhead; ++i) rows.values[static_cast<size_t>(n + i)] = rows.values[0];
  for (int i = 0; i < kRowsAhead; ++i) {
    rows.keys[static_cast<size_t>(n + i)] = rows.values[static_cast<size_t>(std::min(i, n - 1))];
  }
  return rows;
}

/// Only packed copies may have another type than the cache.
std::array<Stretch, 3> stretches_of(const KvBlocks& kv, const PositionSet& set, int32_t begin, int n) {
  if (set.packed_keys == nullptr || set.packed_type == kv.type) return {{{0, n, kv.type}}};
  const int from = std::clamp(set.lead - begin, 0, n), to = std::clamp(set.lead + set.n_kept - begin, 0, n);
  return {{{0, from, kv.type}, {from, to, set.packed_type}, {to, n, kv.type}}};
}

/// Scores of the stretches of a piece, rows [n + kRowsAhead]: out [group][stride], floats behind a row's end too.
void score_rows(const KernelTable& kernels, const float* q, int32_t group, int32_t d_head, const void* const* rows,
                const std::array<Stretch, 3>& stretches, ScoreScale<float> scale, float* out, int64_t stride) {
  for (const Stretch& each : stretches) {
    if (each.begin == each.end) continue;
    const int n = each.end - each.begin;
    kernels.scores(q, group, d_head, rows + each.begin, n, each.type, scale.by, out + each.begin, stride);
    for (int32_t h = 0; h < group && scale.cap > 0; ++h) {
      kernels.cap_scores(out + h * stride + each.begin, n, scale.cap);
    }
  }
}

/// attend_piece() with the caller's memory for the weights that nobody wants: [group][kPieceStride]. `goes_on`: the
/// next piece follows.
void attend_rows(const KernelTable& kernels, const float* q, int32_t group, const KvBlocks& kv, const PositionSet& set,
                 int32_t piece, bool goes_on, ScoreScale<float> scale, float* own, float* m, float* d, float* o,
                 float* wanted, int64_t wanted_stride) {
  const int32_t begin = piece * kPiece;
  const int n = std::min(kPiece, set.size() - begin);
  const PieceRows rows = rows_of(kv, set, begin, n, goes_on);
  const auto stretches = stretches_of(kv, set, begin, n);
  // Made in place where nothing behind a piece is overwritten: whole ones, of one stretch.
  const bool in_place = wanted != nullptr && n == kPiece && stretches[0].end == n;
  float* const weights = in_place ? wanted + begin : own;
  const int64_t stride = in_place ? wanted_stride : kPieceStride;
  score_rows(kernels, q, group, kv.d_head, rows.keys.data(), stretches, scale, weights, stride);
  for (int32_t h = 0; h < group; ++h) {
    float* const row = weights + h * stride;
    kernels.weigh(row, n, m + h, d + h);
    if (wanted != nullptr && !in_place) std::copy_n(row, n, wanted + h * wanted_stride + begin);
  }
  std::fill_n(o, int64_t{group} * kv.d_head, 0.0F);
  for (const Stretch& each : stretches) {
    if (each.begin == each.end) continue;
    kernels.mix(weights + each.begin, stride, group, kv.d_head, rows.values.data() + each.begin, each.end - each.begin,
                each.type, o);
  }
}

/// Keys and values that make a share worth taking from the pool (about 2 us of streaming).
constexpr int64_t kShareBytes = 64 << 10;
/// All of the work below this is quicker done without the pool.
constexpr int64_t kAloneBytes = 32 << 10;

/// Tokens of a prompt tile: enough rows to make up for unpacking the keys (32 are 4 % slower), and a divisor of a
/// piece. Tiles are cut where threads would have none, down to this many rows.
constexpr int32_t kTileTokens = 64, kLeastTileRows = 48;
static_assert(kPiece % kTileTokens == 0);
/// Prompt tokens whose rows are held at once: enough to make up for unpacking the keys (8 take a fifth longer), and few
/// enough that their weights stay in the last-level cache.
constexpr int64_t kMostRowTokens = 32, kLeastRowTokens = 8, kRowBytes = 16 << 20;

const PromptKernel& prompt_kernel(PromptProducts products) {
  if (products == PromptProducts::f32) return table().prompt;
  const PromptKernel* const bf16 = bf16_prompt();
  if (bf16 == nullptr) {
    fail({.where = "prompt attention",
          .expected = "f32 products with " + std::string(table().name) + " kernels on this machine",
          .got = "bf16",
          .remedy = "bf16 needs AVX512-BF16"});
  }
  return *bf16;
}

}  // namespace

bool Cpu::has_bf16_prompt() {
  return bf16_prompt() != nullptr;
}

void Cpu::attend_piece(const float* q, int32_t group, const KvBlocks& kv, const PositionSet& set, int32_t piece,
                       ScoreScale<float> scale, float* m, float* d, float* o, float* weights, int64_t stride) {
  std::vector<float> own(static_cast<size_t>(group) * kPieceStride);
  attend_rows(table(), q, group, kv, set, piece, false, scale, own.data(), m, d, o, weights, stride);
}

void Cpu::attend(ThreadPool& pool, Scratch& space, const float* q, int32_t group, std::span<const KvBlocks> kv,
                 std::span<const PositionSet> sets, ScoreScale<float> scale, float* out, float* const* rows,
                 int64_t stride) {
  Scratch::Data& scratch = *space.data;
  const KernelTable& kernels = table();
  const size_t n_kv_head = kv.size();
  if (scratch.n_unfinished < n_kv_head) {
    scratch.unfinished = std::make_unique<std::atomic<int32_t>[]>(n_kv_head);
    scratch.n_unfinished = n_kv_head;
  }
  scratch.set_shares.clear();
  scratch.first_state.assign(n_kv_head, 0);
  int64_t n_state = 0, bytes = 0, o_size = 0, n_left = 0;
  for (const PositionSet& set : sets) n_left += n_piece(set.size());
  for (size_t g = 0; g < n_kv_head; ++g) {
    const int32_t n = n_piece(sets[g].size());
    const int64_t piece_bytes = 2 * kPiece * row_bytes(kv[g].type, kv[g].d_head);
    const int64_t least = std::max<int64_t>(1, kShareBytes / piece_bytes);
    int32_t n_share = 0;
    // Large shares first, for long streams, and small ones last, for an even end.
    for (int32_t piece = 0, step = 0; piece < n; piece += step, n_left -= step, ++n_share) {
      step = static_cast<int32_t>(std::min<int64_t>(n - piece, std::max(least, n_left / pool.n_at_once())));
      scratch.set_shares.push_back({static_cast<int32_t>(g), piece, step});
    }
    scratch.unfinished[g].store(n_share, std::memory_order_relaxed);
    scratch.first_state[g] = n_state;
    n_state += n;
    bytes += piece_bytes * sets[g].size() / kPiece;
    o_size = std::max<int64_t>(o_size, kv[g].d_head);
  }
  scratch.m.reserve(n_state * group), scratch.d.reserve(n_state * group), scratch.o.reserve(n_state * group * o_size);
  scratch.weights.reserve(int64_t{pool.n_thread()} * group * kPieceStride);

  const auto work = [&](int64_t i, int thread) {
    const Scratch::Data::SetShare& share = scratch.set_shares[static_cast<size_t>(i)];
    const auto g = static_cast<size_t>(share.kv_head);
    const int32_t d_head = kv[g].d_head;
    const float* const queries = q + int64_t{share.kv_head} * group * d_head;
    float* const weights = scratch.weights.get() + int64_t{thread} * group * kPieceStride;
    const int64_t first = scratch.first_state[g] * group;
    const int32_t end = share.piece + share.n_piece;
    for (int32_t piece = share.piece; piece < end; ++piece) {
      const int64_t at = first + int64_t{piece} * group;
      attend_rows(kernels, queries, group, kv[g], sets[g], piece, piece + 1 < end, scale, weights, scratch.m.get() + at,
                  scratch.d.get() + at, scratch.o.get() + at * o_size, rows != nullptr ? rows[g] : nullptr, stride);
    }
    // Whoever finishes a KV head's last share merges its pieces, in order.
    if (scratch.unfinished[g].fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    for (int32_t h = 0; h < group; ++h) {
      if (rows != nullptr && rows[g] != nullptr) {
        kernels.finish_row(rows[g] + h * stride, sets[g].size(), scratch.m.get() + first + h,
                           scratch.d.get() + first + h, group);
      }
      kernels.merge_states(scratch.m.get() + first + h, scratch.d.get() + first + h,
                           scratch.o.get() + first * o_size + int64_t{h} * d_head, n_piece(sets[g].size()), group,
                           d_head, out + (int64_t{share.kv_head} * group + h) * d_head);
    }
  };
  const auto n_share = static_cast<int64_t>(scratch.set_shares.size());
  if (bytes <= kAloneBytes) {
    for (int64_t i = 0; i < n_share; ++i) work(i, 0);
  } else {
    pool.run(n_share, work);
  }
}

void Cpu::score_set(const float* q, int32_t group, const KvBlocks& kv, const PositionSet& set, ScoreScale<float> scale,
                    float* scores, int64_t score_stride) {
  const KernelTable& kernels = table();
  std::array<const void*, kPiece + kRowsAhead> keys;
  std::vector<float> out(static_cast<size_t>(group) * kPieceStride);
  for (int32_t begin = 0; begin < set.size(); begin += kPiece) {
    const int n_left = set.size() - begin, n = std::min(kPiece, n_left), n_found = std::min(n + kRowsAhead, n_left);
    find_rows(kv, set, false, begin, n_found, keys.data());
    std::fill(keys.begin() + n_found, keys.begin() + n + kRowsAhead, keys[0]);
    score_rows(kernels, q, group, kv.d_head, keys.data(), stretches_of(kv, set, begin, n), scale, out.data(),
               kPieceStride);
    for (int32_t h = 0; h < group; ++h) {
      std::copy_n(out.data() + h * kPieceStride, n, scores + h * score_stride + begin);
    }
  }
}

void Cpu::score_run(const float* q, int32_t group, const KvBlocks& kv, int32_t n, ScoreScale<float> scale,
                    float* scores, int64_t score_stride) {
  score_set(q, group, kv, everything_up_to(n), scale, scores, score_stride);
}

void Cpu::attend_prompt(ThreadPool& pool, Scratch& space, const float* q, int32_t n_token, int32_t first, int32_t group,
                        std::span<const KvBlocks> kv, ScoreScale<float> scale, int32_t window, PromptProducts products,
                        float* out) {
  if (n_token <= 0 || kv.empty()) return;
  Scratch::Data& scratch = *space.data;
  const PromptKernel& kernel = prompt_kernel(products);
  const int32_t d_head = kv[0].d_head, end = first + n_token;
  const auto n_kv_head = static_cast<int64_t>(kv.size());
  // A short prompt, or one KV head, is few tiles: two a thread are an even end.
  int32_t step = kTileTokens;
  while (step / 2 * group >= kLeastTileRows && step % 2 == 0 &&
         ((n_token - 1) / step + 1) * n_kv_head < 2 * int64_t{pool.n_at_once()}) {
    step /= 2;
  }
  const int64_t stride = static_cast<int64_t>(kv.size()) * group * d_head;
  const int64_t tile_floats = kernel.scratch(step * group, d_head);
  scratch.tiles.reserve(pool.n_thread() * tile_floats);
  const int32_t first_tile = first / step, n_tile = (end - 1) / step + 1 - first_tile;
  pool.run(n_tile * n_kv_head, [&](int64_t i, int thread) {
    // The longest tiles first: what is left at the end is short.
    const int32_t aligned = (first_tile + n_tile - 1 - static_cast<int32_t>(i / n_kv_head)) * step;
    const int32_t from = std::max(first, aligned), to = std::min(end, aligned + step);
    const int64_t g = i % n_kv_head, at = (from - first) * stride + g * group * d_head;
    const KvBlocks& blocks = kv[static_cast<size_t>(g)];
    kernel.run({.q = q + at,
                .out = out + at,
                .token_stride = stride,
                .n_token = to - from,
                .first = from,
                .group = group,
                .d_head = d_head,
                .scale = scale,
                .window = window,
                .keys = blocks.keys,
                .values = blocks.values,
                .type = blocks.type,
                .aligned_end = (aligned / kTileTokens + 1) * kTileTokens,
                .scratch = scratch.tiles.get() + thread * tile_floats});
  });
}

void Cpu::sum_prompt_rows(ThreadPool& pool, Scratch& space, const float* q, int32_t n_token, int32_t first,
                          int32_t group, std::span<const KvBlocks> kv, ScoreScale<float> scale, float* sums,
                          int64_t sum_stride) {
  if (n_token <= 0 || kv.empty()) return;
  Scratch::Data& scratch = *space.data;
  const KernelTable& kernels = table();
  const int32_t d_head = kv[0].d_head;
  const auto n_kv_head = static_cast<int64_t>(kv.size());
  const int64_t stride = n_kv_head * group * d_head, tile_floats = kernels.row_scratch(d_head);
  scratch.tiles.reserve(pool.n_thread() * tile_floats);
  const int64_t token_bytes = n_kv_head * group * n_piece(first + n_token) * kPiece * int64_t{sizeof(float)};
  const auto step = static_cast<int32_t>(std::clamp(kRowBytes / token_bytes, kLeastRowTokens, kMostRowTokens));
  for (int32_t from = first; from < first + n_token; from += step) {
    const int32_t to = std::min(from + step, first + n_token);
    const int64_t n_pieces = n_piece(to), n_row = (int64_t{to - from} * group + kRowPad - 1) / kRowPad * kRowPad;
    const int64_t n_state = n_pieces * n_row;  // of a KV head
    scratch.weights.reserve(n_kv_head * n_state * kPiece);
    scratch.m.reserve(n_kv_head * n_state), scratch.d.reserve(n_kv_head * n_state);
    std::fill_n(scratch.m.get(), n_kv_head * n_state, -std::numeric_limits<float>::infinity());
    std::fill_n(scratch.d.get(), n_kv_head * n_state, 0.0F);
    // A task is a piece of one KV head with all of the tokens, so no two tasks add to the same sums, and what is added
    // to one comes in the order of the tokens.
    const auto tile_of = [&](int64_t task, int thread) {
      const int64_t g = task % n_kv_head, piece = task / n_kv_head;
      const auto begin = static_cast<int32_t>(piece * kPiece);
      const int32_t start = std::max(from, begin);
      const int64_t piece_at = g * n_state + piece * n_row, state = piece_at + int64_t{start - from} * group;
      const KvBlocks& blocks = kv[static_cast<size_t>(g)];
      return RowTile{.q = q + (start - first) * stride + g * group * d_head,
                     .token_stride = stride,
                     .n_token = to - start,
                     .first = start,
                     .group = group,
                     .d_head = d_head,
                     .scale = scale,
                     .keys = blocks.keys[piece],
                     .type = blocks.type,
                     .begin = begin,
                     .weights = scratch.weights.get() + piece_at * kPiece,
                     .m = scratch.m.get() + state,
                     .d = scratch.d.get() + state,
                     .sums = sums + g * group * sum_stride + begin,
                     .sum_stride = sum_stride,
                     .scratch = scratch.tiles.get() + thread * tile_floats};
    };
    const int64_t n_task = n_pieces * n_kv_head;
    pool.run(n_task, [&](int64_t task, int thread) { kernels.row_states(tile_of(task, thread)); });
    pool.run(n_kv_head, [&](int64_t g, int) {
      kernels.merge_row_states(scratch.m.get() + g * n_state, scratch.d.get() + g * n_state, n_pieces, n_row);
    });
    pool.run(n_task, [&](int64_t task, int thread) { kernels.add_rows(tile_of(task, thread)); });
  }
}

void Cpu::page_bounds(const KvBlocks& kv, int32_t first, int32_t n, float* bounds) {
  std::fill_n(bounds, kv.d_head, std::numeric_limits<float>::infinity());
  std::fill_n(bounds + kv.d_head, kv.d_head, -std::numeric_limits<float>::infinity());
  const int64_t bytes = row_bytes(kv.type, kv.d_head);
  for (int32_t p = first, count = 0; p < first + n; p += count) {  // by blocks
    count = std::min(first + n - p, kPiece - p % kPiece);
    const auto* const rows = static_cast<const std::byte*>(kv.keys[p / kPiece]) + p % kPiece * bytes;
    table().extend_bounds(rows, count, kv.d_head, kv.type, bounds);
  }
}

}  // namespace reattend
