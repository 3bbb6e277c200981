// How well a model predicts a text, token by token: the number that a cache's type or quantised weights must not spoil.
#pragma once
#include <cstdint>
#include <optional>
#include <span>

#include "engine/generate.h"

namespace reattend {

struct Perplexity {
  double nll = 0;           ///< mean over the predicted tokens, nats
  double nll_error = 0;     ///< its standard error, of tokens that are taken to be independent
  double perplexity = 0;    ///< e^nll
  int32_t n_predicted = 0;  ///< tokens whose prediction counts
};

/// The text is one prompt, full attention throughout, and all tokens but the first count. Every token is fed in chunks
/// as a prompt's are, so a cache's rounding acts as it does in a prefill. Throws Error for fewer than two tokens,
/// Cancelled.
Perplexity perplexity(Backend& backend, const Model& model, std::span<const int32_t> ids,
                      const ProgressFn& progress = {}, const Cancel& cancel = {});

/// The text in pieces of `window` tokens, each a prompt of its own, of which the predictions from its second half
/// count: what llama.cpp's llama-perplexity computes with --ctx-size `window`. `bos`: what the first token of each
/// piece is replaced by. What is left behind the last whole piece is not looked at. Throws Error for a text that is
/// shorter than a piece, a window below 4, Cancelled.
Perplexity windowed_perplexity(Backend& backend, const Model& model, std::span<const int32_t> ids, int32_t window,
                               std::optional<int32_t> bos, const ProgressFn& progress, const Cancel& cancel);

}  // namespace reattend
