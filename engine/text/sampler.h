// Chooses the next token from logits: greedy, or seeded temperature, top-k and top-p.
#pragma once
#include <cstdint>
#include <random>
#include <span>

namespace reattend {

struct SamplerOptions {
  float temperature = 0;  ///< 0: greedy
  int32_t top_k = 0;      ///< 0: off
  float top_p = 1;
  uint64_t seed = 0;
};

/// The same seed gives the same tokens on every machine (own mapping of mt19937_64 to [0, 1)).
class Sampler {
 public:
  explicit Sampler(const SamplerOptions& options);
  /// logits [n_vocab]; on equal logits the lower id.
  int32_t sample(std::span<const float> logits);

 private:
  SamplerOptions options_;
  std::mt19937_64 random_;
};

}  // namespace reattend
