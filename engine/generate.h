// The decode loop: one step at a time out of a prefilled prompt; run, record, case, compare and the benchmarks call it.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "engine/prefill.h"

namespace reattend {

using NextTokenFn = std::function<int32_t(int32_t t, StepLogits& logits)>;

struct GenerateOptions {
  Settings settings;
  int32_t n_step = 0;
  bool shadow = false;  ///< the policy decides, the output stays full attention
  /// The token that step t (1-based) feeds, given the logits before it; return a negative id to stop.
  NextTokenFn next_token;
  bool hash = false;  ///< every step's logits are fetched and go into Generated::logits_hash
  std::span<Observer* const> observers;
  ProgressFn progress;
  Cancel cancel;
};
struct Generated {
  std::vector<int32_t> tokens;  ///< fed tokens
  std::vector<float> logits;    ///< [n_vocab] after the last step
  double seconds = 0;           ///< of all steps, observers' time not counted
  double wall_seconds = 0;      ///< of all steps and what lies between them: observers, next_token
  BytesRead bytes;
  uint64_t logits_hash = 0;  ///< of the bits of every step's logits, where asked for
};
/// Continues `sequence` (usually a fork of a Prefilled's) from position n_prompt. Throws Error where the policy needs
/// more of the prompt than was kept when it was prefilled, and where logits that somebody looks at are NaN, the last
/// step's always: observers then have seen the steps before it, but no end().
Generated generate(Backend& backend, const Model& model, Sequence& sequence, const Prefilled& prefilled,
                   const GenerateOptions& options);

}  // namespace reattend
