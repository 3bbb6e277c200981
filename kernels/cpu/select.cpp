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

/// Floats in ascending order of these keys are in descending order of their values; -0 counts as 0.
uint32_t descending_key(float x) {
  const auto bits = std::bit_cast<uint32_t>(x + 0.0F);
  return (bits & 0x80000000U) != 0 ? bits : ~bits & 0x7fffffffU;
}

struct Candidate {
  uint32_t key;
  int32_t index;
};

/// Digits of a radix sort of 32-bit keys: 11, 11 and 10 bits from the low end.
constexpr int kDigitBits = 11, kDigits = 3, kBuckets = 1 << kDigitBits;
constexpr uint32_t digit_of(uint32_t key, int digit) {
  return key >> digit * kDigitBits & (kBuckets - 1);
}

/// Stable, so that equal scores stay in the order of their indices.
void sort_by_key(std::vector<Candidate>& all, std::vector<Candidate>& spare) {
  spare.resize(all.size());
  std::array<std::array<uint32_t, kBuckets>, kDigits> counts{};
  for (const Candidate& each : all) {
    for (int digit = 0; digit < kDigits; ++digit) {
      ++counts[static_cast<size_t>(digit)][digit_of(each.key, digit)];
    }
  }
  for (int digit = 0; digit < kDigits; ++digit) {
    auto& count = counts[static_cast<size_t>(digit)];
    if (std::ranges::find(count, all.size()) != count.end()) continue;  // one bucket holds all
    uint32_t at = 0;
    for (uint32_t& n : count) at += std::exchange(n, at);
    for (const Candidate& each : all) spare[count[digit_of(each.key, digit)]++] = each;
    all.swap(spare);
  }
}

double cosine(const double* a, const double* b, int32_t n) {
  double ab = 0, aa = 0, bb = 0;
  for (int32_t i = 0; i < n; ++i) {
    ab += a[i] * b[i];
    aa += a[i] * a[i];
    bb += b[i] * b[i];
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
  std::vector<uint32_t> keys(static_cast<size_t>(n)), open;
  std::transform(score, score + n, keys.begin(), descending_key);

  // `limit` becomes the key of the k-th score, digit by digit from the high end; `missing` counts how many are still to
  // be taken among the keys that begin with the digits found so far.
  open = keys;
  uint32_t limit = 0;
  auto missing = static_cast<uint32_t>(k);
  for (int digit = kDigits - 1; digit >= 0; --digit) {
    std::array<uint32_t, kBuckets> count{};
    for (const uint32_t key : open) ++count[digit_of(key, digit)];
    uint32_t edge = 0;
    while (count[edge] < missing) missing -= count[edge++];
    limit |= edge << digit * kDigitBits;
    std::erase_if(open, [=](uint32_t key) { return digit_of(key, digit) != edge; });
  }

  std::vector<Candidate> taken(static_cast<size_t>(k)), spare;
  auto at = taken.begin();
  for (int32_t i = 0; i < n; ++i) {
    const uint32_t key = keys[static_cast<size_t>(i)];
    if (key > limit || (key == limit && missing == 0)) continue;
    if (key == limit) --missing;
    *at++ = {key, i};
  }
  sort_by_key(taken, spare);
  for (const Candidate& each : taken) *out++ = each.index;
  return k;
}

float similarity(const float* q, const float* ref, int32_t n_head, int32_t d_head, Similarity how) {
  const auto width = static_cast<size_t>(d_head);
  std::vector<double> a(width), b(width);
  if (how == Similarity::mean_query) {
    // The cosine does not change with the vectors' lengths, so sums over the heads stand for their means.
    for (int32_t h = 0; h < n_head; ++h) {
      for (size_t c = 0; c < width; ++c) a[c] += double{q[h * d_head + static_cast<int32_t>(c)]};
      for (size_t c = 0; c < width; ++c) b[c] += double{ref[h * d_head + static_cast<int32_t>(c)]};
    }
    return static_cast<float>(cosine(a.data(), b.data(), d_head));
  }
  double sum = 0, least = 1;
  for (int32_t h = 0; h < n_head; ++h) {
    std::copy_n(q + int64_t{h} * d_head, d_head, a.begin());
    std::copy_n(ref + int64_t{h} * d_head, d_head, b.begin());
    const double c = cosine(a.data(), b.data(), d_head);
    sum += c;
    least = std::min(least, c);
  }
  return static_cast<float>(how == Similarity::mean_cosine ? sum / n_head : least);
}

}  // namespace reattend::cpu
