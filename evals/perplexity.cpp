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

Perplexity perplexity(Backend& backend, const Model& model, std::span<const int32_t> ids, const ProgressFn& progress,
                      const Cancel& cancel) {
  const auto n = static_cast<int32_t>(ids.size());
  if (n < 2) {
    fail_usage({.where = "text", .expected = "at least two tokens", .got = std::to_string(n), .remedy = ""});
  }
  constexpr int32_t kChunk = 512;
  const auto sequence = backend.model->new_sequence(n, {});
  std::vector<float> logits(static_cast<size_t>(model.shape().n_vocab));
  double sum = 0;
  for (int32_t first = 0; first < n; first += kChunk) {
    const int32_t count = std::min(kChunk, n - first);
    prefill_more(backend, model, *sequence, ids.subspan(first, count), first, {.chunk = kChunk, .cancel = cancel});
    for (int32_t i = 0; i < std::min(count, n - 1 - first); ++i) {
      cancel.check();
      backend.model->predict(*sequence, i);
      backend.model->read_logits(logits);
      check_logits(logits, first + i);
      sum -= log_softmax(logits)[ids[first + i + 1]];
    }
    if (progress) progress("perplexity", first + count, n, "tokens");
  }
  const double nll = sum / (n - 1);
  return {.nll = nll, .perplexity = std::exp(nll), .n_predicted = n - 1};
}

}  // namespace reattend
