// What is made of a step's logits without looking at what they say.
#pragma once
#include <cstdint>
#include <span>

namespace reattend {

inline constexpr uint64_t kLogitsHashSeed = 0xcbf29ce484222325ULL;
/// Of the bits of logits [n_vocab], and of the steps before, whose hash is `h` (kLogitsHashSeed for the first).
uint64_t hash_logits(std::span<const float> logits, uint64_t h);

}  // namespace reattend
