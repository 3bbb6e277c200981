// From scores to kept positions, by the definitions of each step.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/reference/reference.h"

namespace reattend {

void Reference::softmax(double* row, int64_t n) {
  if (n <= 0) return;
  const double top = *std::max_element(row, row + n);
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += row[i] = std::exp(row[i] - top);
  for (int64_t i = 0; i < n; ++i) row[i] /= sum;
}

void Reference::reduce_heads(const double* rows, int32_t group, int64_t stride, int64_t n, Reduce how, double* out) {
  for (int64_t i = 0; i < n; ++i) {
    double highest = rows[i], sum = rows[i];
    for (int32_t h = 1; h < group; ++h) {
      highest = std::max(highest, rows[h * stride + i]);
      sum += rows[h * stride + i];
    }
    out[i] = how == Reduce::first ? rows[i] : how == Reduce::max ? highest : sum / group;
  }
}

void Reference::weigh(double* row, int64_t n, double* m, double* d) {
  for (int64_t at = 0; at < n; at += kPiece, ++m, ++d) {
    const int64_t end = std::min<int64_t>(n, at + kPiece);
    *m = *std::max_element(row + at, row + end), *d = 0;
    for (int64_t i = at; i < end; ++i) *d += row[i] = std::exp(row[i] - *m);
  }
}

void Reference::reduce_weights(const double* rows, int32_t group, int64_t stride, int64_t n, const double* m,
                               const double* d, int64_t state_stride, Reduce how, double* out) {
  const auto n_state = static_cast<size_t>((n + kPiece - 1) / kPiece);
  std::vector<double> whole(static_cast<size_t>(group) * static_cast<size_t>(n));
  for (int32_t h = 0; h < group; ++h) {
    const double *const tops = m + h * state_stride, *const sums = d + h * state_stride;
    const double top = *std::max_element(tops, tops + n_state);
    double total = 0;
    for (size_t i = 0; i < n_state; ++i) total += sums[i] * std::exp(tops[i] - top);
    for (int64_t i = 0; i < n; ++i) {
      whole[static_cast<size_t>(h * n + i)] = rows[h * stride + i] * std::exp(tops[i / kPiece] - top) / total;
    }
  }
  reduce_heads(whole.data(), group, n, n, how, out);
}

void Reference::max_pool(const double* x, int64_t n, int32_t width, double* out) {
  const int64_t half = width / 2;
  for (int64_t i = 0; i < n; ++i) {
    out[i] = *std::max_element(x + std::max<int64_t>(0, i - half), x + std::min(n, i + half + 1));
  }
}

int32_t Reference::top_k(const double* score, int32_t n, int32_t k, int32_t* out) {
  std::vector<int32_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [score](int32_t a, int32_t b) { return score[a] > score[b]; });
  const int32_t taken = std::min(k, n);
  std::copy_n(order.begin(), taken, out);
  return taken;
}

int32_t Reference::top_set(const double* score, int32_t n, int32_t k, double least, int32_t n_least, int32_t* out) {
  const int32_t taken = top_k(score, n, k, out);
  int32_t kept = 0;
  while (kept < taken && (kept < n_least || score[out[kept]] >= least)) ++kept;
  std::sort(out, out + kept);
  return kept;
}

void Reference::page_scores(const double* q, int32_t group, int32_t d_head, const double* bounds, int32_t n_page,
                            double* out) {
  for (int32_t page = 0; page < n_page; ++page) {
    const double* const lowest = bounds + int64_t{page} * 2 * d_head;
    const double* const highest = lowest + d_head;
    for (int32_t h = 0; h < group; ++h) {
      double sum = 0;
      for (int32_t c = 0; c < d_head; ++c) {
        sum += std::max(q[h * d_head + c] * lowest[c], q[h * d_head + c] * highest[c]);
      }
      out[page] = h == 0 ? sum : std::max(out[page], sum);
    }
  }
}

double Reference::similarity(const double* q, const double* ref, int32_t n_head, int32_t d_head, Similarity how) {
  const auto cosine = [](const double* a, const double* b, int32_t n) {
    double ab = 0, aa = 0, bb = 0;
    for (int32_t c = 0; c < n; ++c) ab += a[c] * b[c], aa += a[c] * a[c], bb += b[c] * b[c];
    return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : 0.0;
  };
  if (how == Similarity::concatenated) return cosine(q, ref, n_head * d_head);
  if (how == Similarity::mean_query) {
    // The cosine does not change with the vectors' lengths, so sums over the heads stand for their means.
    std::vector<double> a(static_cast<size_t>(d_head)), b(static_cast<size_t>(d_head));
    for (int32_t i = 0; i < n_head * d_head; ++i) {
      a[static_cast<size_t>(i % d_head)] += q[i];
      b[static_cast<size_t>(i % d_head)] += ref[i];
    }
    return cosine(a.data(), b.data(), d_head);
  }
  double sum = 0, least = 1;
  for (int32_t h = 0; h < n_head; ++h) {
    const double c = cosine(q + int64_t{h} * d_head, ref + int64_t{h} * d_head, d_head);
    sum += c;
    least = std::min(least, c);
  }
  return how == Similarity::mean_cosine ? sum / n_head : least;
}

}  // namespace reattend
