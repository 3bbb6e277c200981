// Softmax attention of one query head over the entries of a set, one entry after the other.
#include <algorithm>
#include <cmath>

#include "kernels/reference/reference.h"

namespace reattend {
namespace {

/// Key (or value) row of entry i of the set, as doubles: out [d_head].
void load_entry(const KvBlocks& kv, const PositionSet& set, int32_t i, bool value, double* out) {
  const bool packed = set.packed_keys != nullptr && i >= set.lead && i < set.lead + set.n_kept;
  const KvType type = packed ? set.packed_type : kv.type;
  const int32_t position = set[i];
  const void* rows =
      packed ? (value ? set.packed_values : set.packed_keys) : (value ? kv.values : kv.keys)[position / kPiece];
  const int64_t at = packed ? i - set.lead : position % kPiece;
  Reference::load_kv(static_cast<const std::byte*>(rows) + at * row_bytes(type, kv.d_head), kv.d_head, type, out);
}

}  // namespace

AttnState<double> Reference::attend_entries(const double* q, const KvBlocks& kv, const PositionSet& set, int32_t begin,
                                            int32_t end, ScoreScale<double> scale, double* scores) {
  const auto width = static_cast<size_t>(kv.d_head);
  std::vector<double> row(width), s(static_cast<size_t>(end - begin));
  AttnState<double> state(width);
  for (int32_t i = begin; i < end; ++i) {
    load_entry(kv, set, i, false, row.data());
    double dot = 0;
    for (size_t c = 0; c < width; ++c) dot += q[c] * row[c];
    const double score = s[static_cast<size_t>(i - begin)] = scale(dot);
    state.m = std::max(state.m, score);
    if (scores != nullptr) scores[i] = score;
  }
  for (int32_t i = begin; i < end; ++i) {
    load_entry(kv, set, i, true, row.data());
    const double weight = std::exp(s[static_cast<size_t>(i - begin)] - state.m);
    state.d += weight;
    for (size_t c = 0; c < width; ++c) state.o[c] += weight * row[c];
  }
  return state;
}

void Reference::attend(ThreadPool& pool, const Scratch&, const double* q, int32_t group, std::span<const KvBlocks> kv,
                       std::span<const PositionSet> sets, ScoreScale<double> scale, double* out, double* const* rows,
                       int64_t stride) {
  pool.run(static_cast<int64_t>(kv.size()) * group, [&](int64_t head, int) {
    const auto g = static_cast<size_t>(head / group);
    double* row = rows != nullptr && rows[g] != nullptr ? rows[g] + head % group * stride : nullptr;
    const int32_t d_head = kv[g].d_head;
    const AttnState<double> state = attend_entries(q + head * d_head, kv[g], sets[g], 0, sets[g].size(), scale, row);
    for (int32_t c = 0; c < d_head; ++c) out[head * d_head + c] = state.o[static_cast<size_t>(c)] / state.d;
    if (row != nullptr) softmax(row, sets[g].size());
  });
}

void Reference::score_set(const double* q, int32_t group, const KvBlocks& kv, const PositionSet& set,
                          ScoreScale<double> scale, double* scores, int64_t score_stride) {
  std::vector<double> row(static_cast<size_t>(kv.d_head));
  for (int32_t i = 0; i < set.size(); ++i) {
    load_entry(kv, set, i, false, row.data());
    for (int32_t h = 0; h < group; ++h) {
      double dot = 0;
      for (int32_t c = 0; c < kv.d_head; ++c) dot += q[h * kv.d_head + c] * row[static_cast<size_t>(c)];
      scores[h * score_stride + i] = scale(dot);
    }
  }
}

void Reference::score_run(const double* q, int32_t group, const KvBlocks& kv, int32_t n, ScoreScale<double> scale,
                          double* scores, int64_t score_stride) {
  score_set(q, group, kv, everything_up_to(n), scale, scores, score_stride);
}

void Reference::attend_prompt(ThreadPool& pool, const Scratch&, const double* q, int32_t n_token, int32_t first,
                              int32_t group, std::span<const KvBlocks> kv, ScoreScale<double> scale, int32_t window,
                              PromptProducts, double* out) {
  const int64_t n_head = static_cast<int64_t>(kv.size()) * group;
  pool.run(n_token * n_head, [&](int64_t task, int) {
    const auto n = static_cast<int32_t>(first + task / n_head + 1);
    const KvBlocks& blocks = kv[static_cast<size_t>(task % n_head / group)];
    const int64_t at = task * blocks.d_head;
    const PositionSet set = {.tail = window > 0 ? std::max(0, n - window) : 0, .end = n};
    const AttnState<double> state = attend_entries(q + at, blocks, set, 0, set.size(), scale, nullptr);
    for (int32_t c = 0; c < blocks.d_head; ++c) out[at + c] = state.o[static_cast<size_t>(c)] / state.d;
  });
}

void Reference::sum_prompt_rows(ThreadPool& pool, const Scratch&, const double* q, int32_t n_token, int32_t first,
                                int32_t group, std::span<const KvBlocks> kv, ScoreScale<double> scale, double* sums,
                                int64_t sum_stride) {
  const int64_t n_head = static_cast<int64_t>(kv.size()) * group;
  pool.run(n_head, [&](int64_t head, int) {
    const KvBlocks& blocks = kv[static_cast<size_t>(head / group)];
    std::vector<double> row(static_cast<size_t>(first + n_token));
    for (int32_t t = 0; t < n_token; ++t) {
      const int32_t n = first + t + 1;
      score_run(q + (t * n_head + head) * blocks.d_head, 1, blocks, n, scale, row.data(), 0);
      softmax(row.data(), n);
      add(sums + head * sum_stride, row.data(), n);
    }
  });
}

void Reference::page_bounds(const KvBlocks& kv, int32_t first, int32_t n, double* bounds) {
  const auto width = static_cast<size_t>(kv.d_head);
  std::vector<double> row(width);
  for (int32_t p = first; p < first + n; ++p) {
    load_entry(kv, everything_up_to(p + 1), p, false, row.data());
    for (size_t c = 0; c < width; ++c) {
      bounds[c] = p == first ? row[c] : std::min(bounds[c], row[c]);
      bounds[width + c] = p == first ? row[c] : std::max(bounds[width + c], row[c]);
    }
  }
}

}  // namespace reattend
