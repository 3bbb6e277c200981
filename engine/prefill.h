// Prompt in: chunks of tokens through the model, and what policies want to be remembered of them.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/progress.h"
#include "engine/backend/backend.h"
#include "engine/model/model.h"
#include "engine/observer.h"
#include "engine/sequence_needs.h"

namespace reattend {

/// A prompt that went through the model once: any number of policies continue from forks of it.
struct Prefilled {
  std::unique_ptr<Sequence> sequence;
  std::vector<int32_t> prompt;
  std::vector<float> logits;  ///< [n_vocab] of the last prompt token
  double seconds = 0;
};

struct PrefillOptions {
  int32_t n_ctx = 0;    ///< room in the cache; 0: as much as the prompt needs
  int32_t chunk = 512;  ///< tokens at a time; does not change a bit of the result
  SequenceNeeds needs;  ///< of the policies that will continue it (see needs_of)
  std::span<Observer* const> observers;
  ProgressFn progress;
  Cancel cancel;
};

/// Throws Error (usage) for ids outside the vocabulary.
void check_ids(std::span<const int32_t> ids, int32_t n_vocab);

/// Passes more tokens of a prompt through the model, at positions first, first + 1, ...; returns the seconds it took.
/// The logits of the last one can then be had from the backend. Throws Error for ids outside the vocabulary.
double prefill_more(Backend& backend, const Model& model, Sequence& sequence, std::span<const int32_t> ids,
                    int32_t first, const PrefillOptions& options);
/// Throws Error for an empty prompt, one that is longer than n_ctx, more memory than there is, ids outside the
/// vocabulary, or logits that are NaN.
Prefilled prefill(Backend& backend, const Model& model, std::span<const int32_t> prompt, const PrefillOptions& options);

}  // namespace reattend
