// What a sequence takes of memory, and what policies ask of it beyond keys and values.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/model/model.h"
#include "kernels/selection.h"
#include "kernels/types.h"
#include "policies/policy.h"

namespace reattend {

/// What a policy is made for: the model's shape and the prompt's length.
RunShape run_shape(const ModelShape& shape, int32_t n_prompt);

struct SequenceNeeds {
  PromptNeeds prompt;
  int64_t summaries = 0;  ///< bytes of what choices read in place of keys: sketches, bounds of pages
  std::vector<std::string> summarizing = {};  ///< policies that keep such
};
/// What policies need of a sequence that is to be prefilled once for all of them: n_prompt tokens at first, n_ctx at
/// last. They continue it one after another, so of their summaries the largest counts.
SequenceNeeds needs_of(std::span<const Settings> settings, const ModelShape& shape, KvType kv, int32_t n_prompt,
                       int32_t n_ctx);

/// Bytes of a layer's keys and values of one position.
int64_t position_bytes(const ModelShape& shape, KvType kv);
/// Bytes of a sequence of n_ctx positions: keys and values, sums of rows where they are needed, summaries of the keys.
int64_t sequence_bytes(const ModelShape& shape, KvType kv, int32_t n_ctx, const SequenceNeeds& needs);
/// Throws Error with both numbers and what would take less, where the machine has less left than that.
void check_memory(const ModelShape& shape, KvType kv, int32_t n_ctx, const SequenceNeeds& needs);

}  // namespace reattend
