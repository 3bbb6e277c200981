// Computes a text's perplexity chunk by chunk, looking at each token's logits while its chunk is in the backend.
#include "evals/perplexity.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/logits.h"
#include "kernels/measures/row_measures.h"

namespace reattend {
namespace {

/// Negative log-likelihoods of tokens, summed with their squares.
struct Sums {
  double nll = 0, squares = 0;
  int32_t n = 0;

  void add(double x) { nll += x, squares += x * x, ++n; }
  Perplexity mean() const {
    const double mean = nll / n, variance = std::max(0.0, squares / n - mean * mean);
    return {.nll = mean,
            .nll_error = n > 1 ? std::sqrt(variance / (n - 1)) : 0,
            .perplexity = std::exp(mean),
            .n_predicted = n};
  }
};

/// Feeds a prompt and adds what the tokens from place `from` on predict; `before` of `n_all` tokens were fed before it.
void add_text(Backend& backend, const Model& model, std::span<const int32_t> ids, int32_t from, Sums& sums,
              int64_t before, int64_t n_all, const ProgressFn& progress, const Cancel& cancel) {
  constexpr int32_t kChunk = 512;
  const auto n = static_cast<int32_t>(ids.size());
  check_memory(model.shape(), backend.kv, n, {});
  const auto sequence = backend.model->new_sequence(n, {});
  std::vector<float> logits(static_cast<size_t>(model.shape().n_vocab));
  for (int32_t first = 0; first < n; first += kChunk) {
    const int32_t count = std::min(kChunk, n - first);
    prefill_more(backend, model, *sequence, ids.subspan(first, count), first, {.chunk = kChunk, .cancel = cancel});
    for (int32_t i = std::max(0, from - first); i < std::min(count, n - 1 - first); ++i) {
      cancel.check();
      backend.model->predict(*sequence, i);
      backend.model->read_logits(logits);
      check_logits(logits, first + i);
      sums.add(-log_softmax(logits)[ids[first + i + 1]]);
    }
    if (progress)
      progress("perplexity", static_cast<double>(before + first + count), static_cast<double>(n_all), "tokens");
  }
}

}  // namespace

Perplexity perplexity(Backend& backend, const Model& model, std::span<const int32_t> ids, const ProgressFn& progress,
                      const Cancel& cancel) {
  const auto n = static_cast<int32_t>(ids.size());
  if (n < 2) {
    fail_usage({.where = "text", .expected = "at least two tokens", .got = std::to_string(n), .remedy = ""});
  }
  Sums sums;
  add_text(backend, model, ids, 0, sums, 0, n, progress, cancel);
  return sums.mean();
}

Perplexity windowed_perplexity(Backend& backend, const Model& model, std::span<const int32_t> ids, int32_t window,
                               std::optional<int32_t> bos, const ProgressFn& progress, const Cancel& cancel) {
  if (window < 4) {
    fail_usage({.where = "--window", .expected = "at least 4 tokens", .got = std::to_string(window), .remedy = ""});
  }
  const auto n_window = static_cast<int64_t>(ids.size()) / window;
  if (n_window < 1) {
    fail_usage({.where = "text",
                .expected = "at least one window of " + std::to_string(window) + " tokens",
                .got = std::to_string(ids.size()),
                .remedy = "give a longer text or a smaller window"});
  }
  Sums sums;
  for (int64_t i = 0; i < n_window; ++i) {
    const auto text = ids.subspan(static_cast<size_t>(i * window), static_cast<size_t>(window));
    std::vector<int32_t> piece(text.begin(), text.end());
    if (bos) piece.front() = *bos;
    add_text(backend, model, piece, window / 2, sums, i * window, n_window * window, progress, cancel);
  }
  return sums.mean();
}

}  // namespace reattend
