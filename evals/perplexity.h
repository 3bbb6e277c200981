// How well a model predicts a text, token by token: the number that a cache's type or quantised weights must not spoil.
#pragma once
#include <cstdint>
#include <span>

#include "engine/generate.h"

namespace reattend {

struct Perplexity {
  double nll = 0;           ///< mean over the predicted tokens, nats
  double perplexity = 0;    ///< e^nll
  int32_t n_predicted = 0;  ///< all tokens but the first
};

/// The text is one prompt, full attention throughout. Every token is fed in chunks as a prompt's are, so a cache's
/// rounding acts as it does in a prefill. Throws Error for fewer than two tokens, Cancelled.
Perplexity perplexity(Backend& backend, const Model& model, std::span<const int32_t> ids,
                      const ProgressFn& progress = {}, const Cancel& cancel = {});

}  // namespace reattend
