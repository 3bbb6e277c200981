// How alike two sets of queries are: one order of sums for every executor, so equal queries give equal bits everywhere.
#pragma once
#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/selection.h"

namespace reattend {

/// Cosine of a and b [n], 0 where one is all zeros. Products are summed in double in 32 interleaved partial sums
/// (channel c joins partial c % 32), which are then added in halves: partial i and i + 16, i and i + 8, down to one. So
/// a vector unit or the lanes of a warp can each keep their own partials and still get these bits.
template <class Number>
double cosine(const Number* a, const Number* b, int64_t n) {
  constexpr int64_t kPartial = 32;
  double ab[kPartial] = {}, aa[kPartial] = {}, bb[kPartial] = {};
  for (int64_t at = 0; at < n; at += kPartial) {
    const int64_t n_lane = n - at < kPartial ? n - at : kPartial;
    for (int64_t i = 0; i < n_lane; ++i) {
      const auto x = static_cast<double>(a[at + i]), y = static_cast<double>(b[at + i]);
      ab[i] += x * y, aa[i] += x * x, bb[i] += y * y;
    }
  }
  for (int64_t half = kPartial / 2; half > 0; half /= 2) {
    for (int64_t i = 0; i < half; ++i) ab[i] += ab[i + half], aa[i] += aa[i + half], bb[i] += bb[i + half];
  }
  return aa[0] > 0 && bb[0] > 0 ? ab[0] / std::sqrt(aa[0] * bb[0]) : 0.0;
}

/// Of query heads q and ref [n_head][d_head]. Sums over heads go in the order of the heads.
template <class Number>
double similarity_of(const Number* q, const Number* ref, int32_t n_head, int32_t d_head, Similarity how) {
  if (how == Similarity::concatenated) return cosine(q, ref, int64_t{n_head} * d_head);
  if (how == Similarity::mean_query) {
    // The cosine does not change with the vectors' lengths, so sums over the heads stand for their means.
    std::vector<double> a(static_cast<size_t>(d_head)), b(static_cast<size_t>(d_head));
    for (int32_t h = 0; h < n_head; ++h) {
      const Number* const from_q = q + int64_t{h} * d_head;    // [d_head]
      const Number* const from_r = ref + int64_t{h} * d_head;  // [d_head]
      for (int32_t c = 0; c < d_head; ++c)
        a[c] += static_cast<double>(from_q[c]), b[c] += static_cast<double>(from_r[c]);
    }
    return cosine(a.data(), b.data(), d_head);
  }
  double sum = 0, least = 1;
  for (int32_t h = 0; h < n_head; ++h) {
    const double c = cosine(q + int64_t{h} * d_head, ref + int64_t{h} * d_head, d_head);
    sum += c;
    least = c < least ? c : least;
  }
  return how == Similarity::mean_cosine ? sum / n_head : least;
}

}  // namespace reattend
