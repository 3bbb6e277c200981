// From scores to kept positions: rows, reduction over heads, pooling, the highest k, similarity of queries.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "kernels/cpu/ops.h"
#include "kernels/cpu/table.h"

namespace reattend::cpu {
namespace {

/// An integer that is greater where the score is higher; -0 counts as 0.
int32_t key_of(float score) {
  const auto bits = std::bit_cast<int32_t>(score + 0.0F);
  return bits < 0 ? bits ^ std::numeric_limits<int32_t>::max() : bits;
}

struct Taken {
  uint32_t rank_key;  ///< ascending from the highest score
  int32_t index;
};

/// Stable, so that equal scores stay in the order of their indices.
void radix_sort(std::vector<Taken>& all) {
  constexpr int kDigits = 4, kBits = 8, kBuckets = 1 << kBits;
  const auto digit_of = [](const Taken& each, int digit) { return each.rank_key >> digit * kBits & (kBuckets - 1); };
  std::array<std::array<uint32_t, kBuckets>, kDigits> counts{};
  for (const Taken& each : all) {
    for (int digit = 0; digit < kDigits; ++digit) ++counts[static_cast<size_t>(digit)][digit_of(each, digit)];
  }
  std::vector<Taken> spare(all.size());
  for (int digit = 0; digit < kDigits; ++digit) {
    auto& count = counts[static_cast<size_t>(digit)];
    if (std::ranges::find(count, all.size()) != count.end()) continue;  // the digit is the same everywhere
    uint32_t at = 0;
    for (uint32_t& n : count) at += std::exchange(n, at);
    for (const Taken& each : all) spare[count[digit_of(each, digit)]++] = each;
    all.swap(spare);
  }
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
  std::vector<int32_t> keys(static_cast<size_t>(n));
  std::transform(score, score + n, keys.begin(), key_of);

  // The highest limit that at least k keys reach, by bisection. Counting 8,192 keys takes 0.15 us with AVX-512; a
  // histogram of them takes longer than all steps together, for scores of a softmax share their leading bits.
  int64_t low = std::numeric_limits<int32_t>::min(), high = int64_t{std::numeric_limits<int32_t>::max()} + 1;
  int32_t n_reach = n;  // how many keys are at least `low`
  while (n_reach != k && high - low > 1) {
    const int64_t middle = (low + high) / 2;
    const int32_t count = table().count_at_least(keys.data(), n, static_cast<int32_t>(middle));
    if (count >= k) {
      low = middle, n_reach = count;
    } else {
      high = middle;
    }
  }

  // Keys equal to the limit may be too many: the last of them are left out.
  const auto limit = static_cast<int32_t>(low);
  std::vector<int32_t> found(static_cast<size_t>(n_reach));
  table().find_at_least(keys.data(), n, limit, found.data());
  auto n_equal = std::ranges::count(found, limit, [&](int32_t i) { return keys[static_cast<size_t>(i)]; });
  n_equal -= n_reach - k;
  std::vector<Taken> taken;
  taken.reserve(found.size());
  for (const int32_t i : found) {
    const int32_t key = keys[static_cast<size_t>(i)];
    if (key == limit && n_equal-- <= 0) continue;
    taken.push_back({~(static_cast<uint32_t>(key) ^ 0x80000000U), i});
  }
  radix_sort(taken);
  for (const Taken& each : taken) *out++ = each.index;
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
