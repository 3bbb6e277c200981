// Softmax attention of one query head over the entries of a set, one entry after the other.
#include <algorithm>
#include <cmath>

#include "kernels/reference/reference.h"

namespace reattend::reference {
namespace {

/// Key (or value) row of entry i of the set, as doubles: out [d_head].
void load_entry(const KvBlocks& kv, const PositionSet& set, int32_t i, bool value, double* out) {
  const bool packed = set.packed_keys != nullptr && i >= set.lead && i < set.lead + set.n_kept;
  const KvType type = packed ? set.packed_type : kv.type;
  const int32_t position = set[i];
  const void* rows =
      packed ? (value ? set.packed_values : set.packed_keys) : (value ? kv.values : kv.keys)[position / kPiece];
  const int64_t at = packed ? i - set.lead : position % kPiece;
  load_kv(static_cast<const std::byte*>(rows) + at * kv.d_head * bytes_per_element(type), kv.d_head, type, out);
}

}  // namespace

AttnState<double> attend_entries(const double* q, const KvBlocks& kv, const PositionSet& set, int32_t begin,
                                 int32_t end, double scale, double* scores) {
  const auto width = static_cast<size_t>(kv.d_head);
  std::vector<double> row(width), s(static_cast<size_t>(end - begin));
  AttnState<double> state(width);
  for (int32_t i = begin; i < end; ++i) {
    load_entry(kv, set, i, false, row.data());
    double dot = 0;
    for (size_t c = 0; c < width; ++c) dot += q[c] * row[c];
    s[static_cast<size_t>(i - begin)] = dot * scale;
    state.m = std::max(state.m, dot * scale);
    if (scores != nullptr) scores[i] = dot * scale;
  }
  for (int32_t i = begin; i < end; ++i) {
    load_entry(kv, set, i, true, row.data());
    const double weight = std::exp(s[static_cast<size_t>(i - begin)] - state.m);
    state.d += weight;
    for (size_t c = 0; c < width; ++c) state.o[c] += weight * row[c];
  }
  return state;
}

void attend(ThreadPool& pool, const double* q, int32_t group, std::span<const KvBlocks> kv,
            std::span<const PositionSet> sets, double scale, double* out, double* const* scores, int64_t score_stride) {
  pool.run(static_cast<int64_t>(kv.size()) * group, [&](int64_t head, int) {
    const auto g = static_cast<size_t>(head / group);
    double* row = scores != nullptr && scores[g] != nullptr ? scores[g] + head % group * score_stride : nullptr;
    const int32_t d_head = kv[g].d_head;
    const AttnState<double> state = attend_entries(q + head * d_head, kv[g], sets[g], 0, sets[g].size(), scale, row);
    for (int32_t c = 0; c < d_head; ++c) out[head * d_head + c] = state.o[static_cast<size_t>(c)] / state.d;
  });
}

void score_run(const double* q, int32_t group, const KvBlocks& kv, int32_t n, double scale, double* scores,
               int64_t score_stride) {
  for (int32_t h = 0; h < group; ++h) {
    attend_entries(q + int64_t{h} * kv.d_head, kv, everything_up_to(n), 0, n, scale, scores + h * score_stride);
  }
}

void attend_prompt(ThreadPool& pool, const double* q, int32_t n_token, int32_t first, int32_t group,
                   std::span<const KvBlocks> kv, double scale, double* out) {
  const int64_t n_head = static_cast<int64_t>(kv.size()) * group;
  pool.run(n_token * n_head, [&](int64_t task, int) {
    const auto n = static_cast<int32_t>(first + task / n_head + 1);
    const KvBlocks& blocks = kv[static_cast<size_t>(task % n_head / group)];
    const int64_t at = task * blocks.d_head;
    const AttnState<double> state = attend_entries(q + at, blocks, everything_up_to(n), 0, n, scale, nullptr);
    for (int32_t c = 0; c < blocks.d_head; ++c) out[at + c] = state.o[static_cast<size_t>(c)] / state.d;
  });
}

}  // namespace reattend::reference
