// What the engine does with every row of logits: makes sure that it is one, and adds it to a run's hash.
#pragma once
#include <cstdint>
#include <span>

namespace reattend {

/// Throws Error where one of logits [n_vocab] is NaN or infinite, with how many are, and `position`, the token of the
/// sequence after which they came.
void check_logits(std::span<const float> logits, int32_t position);

/// FNV-1a over the bits of logits [n_vocab], from `hash` on, once check_logits() has nothing against them.
uint64_t hash_logits(std::span<const float> logits, int32_t position, uint64_t hash);

}  // namespace reattend
