// What the dimensions of an opened trace amount to.
#pragma once
#include "traces/read/reader.h"
#include "traces/schema.h"

namespace reattend {

/// Extents of its datasets, n_step as committed.
inline schema::Sizes sizes_of(const TraceInfo& info) {
  return {.n_layer = info.n_stored(),
          .n_head = info.n_head,
          .n_kv_head = info.n_kv_head,
          .d_head = info.d_head,
          .n_prompt = info.n_prompt,
          .n_vocab = info.n_vocab,
          .n_map = info.n_map,
          .n_column = info.n_column,
          .n_overlap = static_cast<int64_t>(info.overlap_k.size()),
          .n_step = info.n_step};
}

}  // namespace reattend
