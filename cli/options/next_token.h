// Samples the next token, never an end: for runs that want all their steps.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "engine/text/sampler.h"
#include "engine/text/tokenizer.h"

namespace reattend::cli {

class NextToken {
 public:
  NextToken(const Tokenizer& tokenizer, const SamplerOptions& options) : tokenizer_(tokenizer), sampler_(options) {}
  int32_t operator()(std::span<const float> logits) {
    std::vector<float> allowed(logits.begin(), logits.end());
    for (int32_t id = 0; id < static_cast<int32_t>(allowed.size()); ++id) {
      if (tokenizer_.is_end(id)) allowed[id] = -1e30F;
    }
    return sampler_.sample(allowed);
  }

 private:
  const Tokenizer& tokenizer_;
  Sampler sampler_;
};

}  // namespace reattend::cli
