// A recorded run without a model: random queries, keys and values of any size, made layer by layer when asked for.
#pragma once
#include <filesystem>

#include "base/progress.h"
#include "replay/source.h"

namespace reattend {

struct SyntheticRunShape {
  int32_t n_layer = 30, n_head = 9, n_kv_head = 3, d_head = 64;  ///< SmolLM2-135M's
  int32_t n_prompt = 7680, n_step = 512;
};

/// Attention is neither flat nor led by a single position; a step's queries resemble those of the step before.
std::shared_ptr<ReplaySource> make_synthetic_run(const SyntheticRunShape& shape);

/// The same as a trace file, with a vocabulary of a few words; all layers are held while it is written. Throws Error,
/// also where `path` exists, and Cancelled.
void write_synthetic_trace(const SyntheticRunShape& shape, const std::filesystem::path& path,
                           const ProgressFn& progress, const Cancel& cancel);

}  // namespace reattend
