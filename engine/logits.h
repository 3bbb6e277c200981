// Logits of the last token: fetched when somebody looks, made sure to be numbers, and added to a run's hash.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "engine/backend/backend.h"

namespace reattend {

/// Throws Error where one of logits [n_vocab] is NaN or infinite, with how many are, and `position`, the token of the
/// sequence after which they came.
void check_logits(std::span<const float> logits, int32_t position);

/// FNV-1a over the bits of logits [n_vocab], from `hash` on.
uint64_t hash_logits(std::span<const float> logits, uint64_t hash);

/// Logits that lie in a backend until somebody looks: a step whose token is known already need not wait for them.
class StepLogits {
 public:
  /// Those of a prompt's last token, `known` [n_vocab], until renew().
  explicit StepLogits(std::span<const float> known, ModelOps* ops = nullptr)
      : ops_(ops), values_(known.begin(), known.end()), fetched_(true) {}
  /// The backend, which is not null, has made others, of the token at `position`.
  void renew(int32_t position) { position_ = position, fetched_ = false; }
  /// [n_vocab]; valid until renew(). Throws Error where one is NaN or infinite.
  operator std::span<const float>();

 private:
  ModelOps* ops_;
  std::vector<float> values_;  ///< [n_vocab]
  int32_t position_ = 0;
  bool fetched_;
};

}  // namespace reattend
