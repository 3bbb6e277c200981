// From scores to kept positions: rows, reduction over heads, pooling, the highest k, similarity of queries.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/cpu/ops.h"
#include "kernels/cpu/table.h"

namespace reattend::cpu {
namespace {

struct Taken {
  uint32_t rank_key;  ///< ascending from the highest score
  int32_t index;
};

/// Stable, so that equal scores stay in the order of their indices. rank_key < 2^n_bit.
void radix_sort(std::vector<Taken>& all, int n_bit) {
  constexpr int kMostBits = 9, kMostDigits = 4;
  const int n_digit = std::max(1, (n_bit + kMostBits - 1) / kMostBits), width = (n_bit + n_digit - 1) / n_digit;
  const uint32_t mask = (1U << width) - 1;
  std::array<std::array<uint32_t, 1 << kMostBits>, kMostDigits> counts;
  for (int digit = 0; digit < n_digit; ++digit) std::fill_n(counts[static_cast<size_t>(digit)].begin(), mask + 1, 0);
  for (const Taken& each : all) {
    for (int digit = 0; digit < n_digit; ++digit) {
      ++counts[static_cast<size_t>(digit)][each.rank_key >> digit * width & mask];
    }
  }
  std::vector<Taken> spare(all.size());
  for (int digit = 0; digit < n_digit; ++digit) {
    auto& count = counts[static_cast<size_t>(digit)];
    uint32_t at = 0;
    for (uint32_t i = 0; i <= mask; ++i) at += std::exchange(count[i], at);
    for (const Taken& each : all) spare[count[each.rank_key >> digit * width & mask]++] = each;
    all.swap(spare);
  }
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
  const auto rank = static_cast<int32_t>(kSample * share + 2.5 * std::sqrt(kSample * share * (1 - share))) + 4;
  if (rank >= kSample) return kLowest;
  std::ranges::nth_element(sample, sample.begin() + rank, std::greater<>());
  const int32_t limit = sample[static_cast<size_t>(rank)];
  return table().count_at_least(keys, n, limit) >= k ? limit : kLowest;
}

template <class Number>
double cosine(const Number* a, const Number* b, int32_t n) {
  double ab = 0, aa = 0, bb = 0;
  for (int32_t i = 0; i < n; ++i) {
    ab += double{a[i]} * double{b[i]};
    aa += double{a[i]} * double{a[i]};
    bb += double{b[i]} * double{b[i]};
  }
  return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : 0.0;
}

}  // namespace

void softmax(float* row, int64_t n) {
  table().softmax(row, n);
}

void reduce_heads(const float* rows, int32_t group, int64_t stride, int64_t n, Reduce how, float* out) {
  table().reduce_heads(rows, group, stride, n, how, out);
}

void max_pool(const float* x, int64_t n, int32_t width, float* out) {
  const int64_t half = width / 2;
  // wide[i] is the maximum of `reach` values from i on; doubling reach until it covers half the window.
  std::vector<float> wide(static_cast<size_t>(n + 2 * half), -std::numeric_limits<float>::infinity());
  std::copy_n(x, n, wide.begin() + half);
  const auto size = static_cast<int64_t>(wide.size());
  int64_t reach = 1;
  for (; 2 * reach <= width; reach *= 2) {
    table().max_of(wide.data(), wide.data() + reach, size - 2 * reach + 1, wide.data());
  }
  table().max_of(wide.data(), wide.data() + (2 * half + 1 - reach), n, out);
}

int32_t top_k(const float* score, int32_t n, int32_t k, int32_t* out) {
  k = std::clamp(k, 0, std::max(n, 0));
  if (k == 0) return 0;
  const auto room = static_cast<size_t>(n) + 16;
  const auto keys = std::make_unique_for_overwrite<int32_t[]>(room);
  table().rank_keys(score, n, keys.get());

  // Only keys that reach a rough limit take part in the search for the exact one: 1,300 instead of 7,680 for k = 1,024.
  const auto found = std::make_unique_for_overwrite<int32_t[]>(room),
             some = std::make_unique_for_overwrite<int32_t[]>(room);
  const int32_t rough = rough_limit(keys.get(), n, k);
  const int32_t n_some = table().count_at_least(keys.get(), n, rough);
  table().find_at_least(keys.get(), n, rough, found.get());
  for (int32_t i = 0; i < n_some; ++i) some[i] = keys[found[i]];

  // The highest limit that at least k keys reach, by bisection. A histogram of all keys takes longer than all steps
  // together, for scores of a softmax share their leading bits.
  const int32_t top = *std::max_element(some.get(), some.get() + n_some);
  int64_t low = rough, high = int64_t{top} + 1;
  int32_t n_reach = n_some;  // how many keys are at least `low`
  while (n_reach != k && high - low > 1) {
    const int64_t middle = (low + high) / 2;
    const int32_t count = table().count_at_least(some.get(), n_some, static_cast<int32_t>(middle));
    if (count >= k) {
      low = middle, n_reach = count;
    } else {
      high = middle;
    }
  }

  // Keys equal to the limit may be too many: sorted, they are the last, by index, and the last of them are left out.
  const auto limit = static_cast<int32_t>(low);
  const auto reach = std::make_unique_for_overwrite<int32_t[]>(static_cast<size_t>(n_reach) + 16);
  table().find_at_least(some.get(), n_some, limit, reach.get());
  std::vector<Taken> taken(static_cast<size_t>(n_reach));
  for (int32_t i = 0; i < n_reach; ++i) {
    const int32_t at = reach[i];
    taken[static_cast<size_t>(i)] = {static_cast<uint32_t>(int64_t{top} - some[at]), found[at]};
  }
  radix_sort(taken, std::bit_width(static_cast<uint32_t>(int64_t{top} - limit)));
  for (int32_t i = 0; i < k; ++i) out[i] = taken[static_cast<size_t>(i)].index;
  return k;
}

void page_scores(const float* q, int32_t group, int32_t d_head, const float* bounds, int32_t n_page, float* out) {
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

float similarity(const float* q, const float* ref, int32_t n_head, int32_t d_head, Similarity how) {
  if (how == Similarity::concatenated) return static_cast<float>(cosine(q, ref, n_head * d_head));
  if (how == Similarity::mean_query) {
    const auto width = static_cast<size_t>(d_head);
    std::vector<double> a(width), b(width);
    // The cosine does not change with the vectors' lengths, so sums over the heads stand for their means.
    for (int32_t h = 0; h < n_head; ++h) {
      for (size_t c = 0; c < width; ++c) a[c] += double{q[h * d_head + static_cast<int32_t>(c)]};
      for (size_t c = 0; c < width; ++c) b[c] += double{ref[h * d_head + static_cast<int32_t>(c)]};
    }
    return static_cast<float>(cosine(a.data(), b.data(), d_head));
  }
  double sum = 0, least = 1;
  for (int32_t h = 0; h < n_head; ++h) {
    const double c = cosine(q + int64_t{h} * d_head, ref + int64_t{h} * d_head, d_head);
    sum += c;
    least = std::min(least, c);
  }
  return static_cast<float>(how == Similarity::mean_cosine ? sum / n_head : least);
}

}  // namespace reattend::cpu
