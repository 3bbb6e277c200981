// From scores to kept positions: rows, reduction over heads, pooling, the highest k, similarity of queries.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "kernels/cpu/ops.h"
#include "kernels/cpu/table.h"
#include "kernels/similarity.h"

namespace reattend {
namespace {

using namespace cpu;

/// Neighbours of equal score among those taken. Pooled scores come in plateaus: 1,024 positions are some 250 runs.
struct Run {
  uint32_t rank_key;   ///< ascending from the highest score
  int32_t first, end;  ///< of those taken
};
/// Entries of a run that are copied at once, needed or not: few runs are longer.
constexpr int kCopied = 8;

/// Into rank order, equal scores by their places, in which order `all` comes. rank_key < 2^n_bit. One pass into buckets
/// by the leading bits, then each bucket by itself: most have a few.
void sort_ranks(std::vector<Run>& all, int n_bit) {
  constexpr int kBits = 10;
  constexpr std::ptrdiff_t kFew = 32;
  const int shift = std::max(0, n_bit - kBits);
  std::array<uint32_t, (1 << kBits) + 1> ends{};
  for (const Run& each : all) ++ends[(each.rank_key >> shift) + 1];
  for (size_t i = 1; i < ends.size(); ++i) ends[i] += ends[i - 1];
  std::vector<Run> sorted(all.size());
  for (const Run& each : all) sorted[ends[each.rank_key >> shift]++] = each;  // now bucket i ends at ends[i]
  all.swap(sorted);
  if (shift == 0) return;
  uint32_t begin = 0;
  for (const uint32_t end : std::span(ends).first(size_t{1} << kBits)) {
    Run* const first = all.data() + std::exchange(begin, end);
    Run* const last = all.data() + end;
    if (last - first < 2) continue;
    if (last - first > kFew) {
      std::sort(first, last, [](const Run& a, const Run& b) {
        return a.rank_key != b.rank_key ? a.rank_key < b.rank_key : a.first < b.first;
      });
      continue;
    }
    for (Run* next = first + 1; next < last; ++next) {
      const Run moved = *next;
      Run* to = next;
      for (; to > first && to[-1].rank_key > moved.rank_key; --to) *to = to[-1];
      *to = moved;
    }
  }
}

/// The highest limit in [low, high) that at least k of the keys [n] reach, by bisection; at least k reach `low`, none
/// `high`. A histogram takes longer than all steps together, for scores of a softmax share their leading bits.
struct Reached {
  int32_t limit, count;
};
Reached limit_of(const int32_t* keys, int32_t n, int32_t k, int64_t low, int64_t high) {
  int32_t count = n;  // how many keys are at least `low`
  while (count != k && high - low > 1) {
    const int64_t middle = (low + high) / 2;
    const int32_t here = table().count_at_least(keys, n, static_cast<int32_t>(middle));
    if (here >= k) {
      low = middle, count = here;
    } else {
      high = middle;
    }
  }
  return {static_cast<int32_t>(low), count};
}

/// A limit that a few more than k of the keys [n] reach, guessed from a sample; the lowest there is where the guess
/// fails.
int32_t rough_limit(const int32_t* keys, int32_t n, int32_t k) {
  constexpr int32_t kSample = 256, kWorthwhile = 2048;
  constexpr auto kLowest = std::numeric_limits<int32_t>::min();
  if (n < kWorthwhile) return kLowest;
  std::array<int32_t, kSample> sample;
  for (int32_t i = 0; i < kSample; ++i) sample[static_cast<size_t>(i)] = keys[int64_t{i} * n / kSample];
  // Of the sample's rank, two standard deviations of a binomial, and neighbours that are alike for pooling.
  const double share = static_cast<double>(k) / n;
  const auto rank = static_cast<int32_t>(kSample * share + 2.5 * std::sqrt(kSample * share * (1 - share))) + 5;
  if (rank > kSample) return kLowest;
  constexpr int64_t kHighest = std::numeric_limits<int32_t>::max();
  const int32_t limit = limit_of(sample.data(), kSample, rank, kLowest, kHighest + 1).limit;
  return table().count_at_least(keys, n, limit) >= k ? limit : kLowest;
}

/// The k highest of the keys [n], 1 <= k <= n. Only keys that reach a rough limit take part in the search for the exact
/// one: 1,300 instead of 7,680 for k = 1,024.
struct Highest {
  std::unique_ptr<int32_t[]> found, some;  ///< [n_some] places of those that reach the rough limit, and they
  int32_t n_some = 0, top = 0;
  Reached reached = {};  ///< of the exact limit

  Highest(const int32_t* keys, int32_t n, int32_t k)
      : found(std::make_unique_for_overwrite<int32_t[]>(static_cast<size_t>(n) + 16)),
        some(std::make_unique_for_overwrite<int32_t[]>(static_cast<size_t>(n) + 16)) {
    const int32_t rough = rough_limit(keys, n, k);
    n_some = table().count_at_least(keys, n, rough);
    table().find_at_least(keys, n, rough, found.get());
    for (int32_t i = 0; i < n_some; ++i) some[i] = keys[found[i]];
    top = *std::max_element(some.get(), some.get() + n_some);
    reached = limit_of(some.get(), n_some, k, rough, int64_t{top} + 1);
  }
};

}  // namespace

void Cpu::softmax(float* row, int64_t n) {
  if (n <= 0) return;
  std::vector<float> m(static_cast<size_t>((n + kPiece - 1) / kPiece)), d(m.size());
  weigh(row, n, m.data(), d.data());
  table().finish_row(row, n, m.data(), d.data(), 1);
}

void Cpu::weigh(float* row, int64_t n, float* m, float* d) {
  for (int64_t at = 0; at < n; at += kPiece) {
    table().weigh(row + at, static_cast<int>(std::min<int64_t>(kPiece, n - at)), m++, d++);
  }
}

void Cpu::reduce_weights(const float* rows, int32_t group, int64_t stride, int64_t n, const float* m, const float* d,
                         int64_t state_stride, Reduce how, float* out) {
  const int64_t n_state = (n + kPiece - 1) / kPiece;
  std::vector<float> shares(static_cast<size_t>(group) * static_cast<size_t>(n_state));
  table().reduce_weights(rows, group, stride, n, m, d, state_stride, how, shares.data(), out);
}

void Cpu::finish_row(float* row, int64_t n, const float* m, const float* d, int64_t stride) {
  table().finish_row(row, n, m, d, stride);
}

void Cpu::reduce_heads(const float* rows, int32_t group, int64_t stride, int64_t n, Reduce how, float* out) {
  table().reduce_heads(rows, group, stride, n, how, out);
}

void Cpu::max_pool(const float* x, int64_t n, int32_t width, float* out) {
  constexpr int64_t kBlock = 2048;  // what is worked on stays in the first-level cache
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  const int64_t half = width / 2;
  std::vector<float> wide(static_cast<size_t>(std::min(n, kBlock) + 2 * half));
  for (int64_t at = 0; at < n; at += kBlock) {
    const int64_t count = std::min(kBlock, n - at), size = count + 2 * half;
    const int64_t begin = std::max<int64_t>(0, at - half), end = std::min(n, at + count + half);
    float* const from = std::fill_n(wide.data(), begin - (at - half), kNone);
    std::fill(std::copy(x + begin, x + end, from), wide.data() + size, kNone);
    // wide[i] becomes the maximum of `reach` values from i on; doubled until two of them cover a window.
    int64_t reach = 1;
    for (; 2 * reach <= width; reach *= 2) {
      table().max_of(wide.data(), wide.data() + reach, size - 2 * reach + 1, wide.data());
    }
    table().max_of(wide.data(), wide.data() + (2 * half + 1 - reach), count, out + at);
  }
}

int32_t Cpu::top_k(const float* score, int32_t n, int32_t k, int32_t* out) {
  k = std::clamp(k, 0, std::max(n, 0));
  if (k == 0) return 0;
  const auto room = static_cast<size_t>(n) + 16;
  const auto keys = std::make_unique_for_overwrite<int32_t[]>(room);
  table().rank_keys(score, n, keys.get());

  const Highest highest(keys.get(), n, k);
  const auto& [found, some, n_some, top, reached] = highest;

  // Neighbours of equal score are sorted as one. Keys equal to the limit may be too many: sorted, they are the last, by
  // index, and the last of them are left out. No branch here depends on the scores: guessed wrong, they took longer
  // than all the rest.
  const auto n_reach = static_cast<size_t>(reached.count);
  const auto reach = std::make_unique_for_overwrite<int32_t[]>(n_reach + 16);
  table().find_at_least(some.get(), n_some, reached.limit, reach.get());
  const auto places = std::make_unique_for_overwrite<int32_t[]>(n_reach + kCopied);
  std::vector<Run> runs(n_reach + 1);
  size_t run = 0;
  runs[0].rank_key = static_cast<uint32_t>(int64_t{top} - some[reach[0]]);
  for (size_t i = 0; i < n_reach; ++i) {
    const auto rank_key = static_cast<uint32_t>(int64_t{top} - some[reach[i]]);
    run += rank_key != runs[run].rank_key ? 1 : 0;
    runs[run].rank_key = rank_key, runs[run].end = static_cast<int32_t>(i) + 1;
    runs[run + 1].first = static_cast<int32_t>(i) + 1;
    places[i] = found[reach[i]];
  }
  runs.resize(run + 1);
  sort_ranks(runs, std::bit_width(static_cast<uint32_t>(int64_t{top} - reached.limit)));
  const auto ranked = std::make_unique_for_overwrite<int32_t[]>(n_reach + kCopied);
  int32_t* to = ranked.get();
  for (const Run& each : runs) {
    for (int32_t i = each.first; i < each.end; i += kCopied) std::copy_n(&places[i], kCopied, to + (i - each.first));
    to += each.end - each.first;
  }
  std::copy_n(ranked.get(), k, out);
  return k;
}

int32_t Cpu::top_set(const float* score, int32_t n, int32_t k, float least, int32_t n_least, int32_t* out) {
  k = std::clamp(k, 0, std::max(n, 0));
  if (k == 0) return 0;
  const auto room = static_cast<size_t>(n) + 16;
  const auto keys = std::make_unique_for_overwrite<int32_t[]>(room);
  const auto found = std::make_unique_for_overwrite<int32_t[]>(room);
  table().rank_keys(score, n, keys.get());
  int32_t limit = 0;
  table().rank_keys(&least, 1, &limit);
  int32_t count = table().count_at_least(keys.get(), n, limit);
  const int32_t wanted = std::clamp(count, std::min(n_least, k), k);
  if (count != wanted) {
    const Reached reached = Highest(keys.get(), n, wanted).reached;
    limit = reached.limit, count = reached.count;
  }
  table().find_at_least(keys.get(), n, limit, found.get());
  // Too many reach the limit only where several equal it: the last of those are left out.
  int32_t left = count - wanted;
  int32_t* to = out + wanted;
  for (int32_t i = count; i-- > 0;) {
    if (left > 0 && keys[found[i]] == limit) {
      --left;
    } else {
      *--to = found[i];
    }
  }
  return wanted;
}

void Cpu::page_scores(const float* q, int32_t group, int32_t d_head, const float* bounds, int32_t n_page, float* out) {
  // The greater product is the one with the maximum where q_c > 0, with the minimum where q_c < 0: so a page's score is
  // the product of (min(q, 0), max(q, 0)) with its (minima, maxima), and pages are scored like keys of twice the width.
  const int32_t width = 2 * d_head;
  std::vector<float> halves(static_cast<size_t>(group) * static_cast<size_t>(width));
  for (int32_t h = 0; h < group; ++h) {
    float* const half = halves.data() + int64_t{h} * width;
    for (int32_t c = 0; c < d_head; ++c) {
      half[c] = std::min(q[h * d_head + c], 0.0F), half[d_head + c] = std::max(q[h * d_head + c], 0.0F);
    }
  }
  std::array<const void*, kPiece + kRowsAhead> rows;
  std::vector<float> scores(static_cast<size_t>(group) * kPieceStride);
  for (int32_t begin = 0; begin < n_page; begin += kPiece) {
    const int n = std::min(kPiece, n_page - begin);
    for (int i = 0; i < n + kRowsAhead; ++i) {
      rows[static_cast<size_t>(i)] = bounds + int64_t{std::min(begin + i, n_page - 1)} * width;
    }
    table().scores(halves.data(), group, width, rows.data(), n, KvType::f32, 1.0F, scores.data(), kPieceStride);
    table().reduce_heads(scores.data(), group, kPieceStride, n, Reduce::max, out + begin);
  }
}

float Cpu::similarity(const float* q, const float* ref, int32_t n_head, int32_t d_head, Similarity how) {
  return static_cast<float>(similarity_of(q, ref, n_head, d_head, how));
}

}  // namespace reattend
