// FNV-1a in eight chains, one behind the other too slow by far.
#include "engine/logits.h"

#include <array>
#include <bit>

namespace reattend {

/// Every eighth of them in a chain of its own, for one chain of 49,152 products took 2 % of a step.
uint64_t hash_logits(std::span<const float> logits, uint64_t h) {
  constexpr size_t kChains = 8;
  const auto mix = [](uint64_t& to, uint64_t word) { to = (to ^ word) * 0x100000001b3ULL; };
  std::array<uint64_t, kChains> chains;
  chains.fill(h);
  size_t i = 0;
  for (; i + kChains <= logits.size(); i += kChains) {
    for (size_t j = 0; j < kChains; ++j) mix(chains[j], std::bit_cast<uint32_t>(logits[i + j]));
  }
  for (; i < logits.size(); ++i) mix(chains[0], std::bit_cast<uint32_t>(logits[i]));
  for (const uint64_t each : chains) mix(h, each);
  return h;
}

}  // namespace reattend
