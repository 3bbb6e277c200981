// A recorded run without a model: random queries, keys and values of any size, made layer by layer when asked for.
#pragma once
#include <filesystem>

#include "base/progress.h"
#include "replay/source.h"
#include "traces/write/trace_header.h"
#include "traces/write/writer.h"

namespace reattend {

struct SyntheticRunShape {
  int32_t n_layer = 30, n_head = 9, n_kv_head = 3, d_head = 64;  ///< SmolLM2-135M's
  int32_t n_prompt = 7680, n_step = 512;
};

/// Attention is neither flat nor led by a single position; a step's queries resemble those of the step before.
std::shared_ptr<ReplaySource> make_synthetic_run(const SyntheticRunShape& shape);

/// Prompt and steps 1 .. n_step of a made-up source, to a writer that has not begun; it is left open. `header` has the
/// vocabulary, whose tokens come one after the other again and again, and expected_steps; the rest is the source's.
/// Nothing was measured. All layers are held meanwhile. Throws Error and Cancelled.
void write_source(ReplaySource& source, TraceHeader header, int32_t n_step, TraceWriter& writer,
                  const ProgressFn& progress, const Cancel& cancel);

/// A run as a trace file, with a vocabulary of a few words; all layers are held while it is written. Throws Error,
/// also where `path` exists, and Cancelled.
void write_synthetic_trace(const SyntheticRunShape& shape, const std::filesystem::path& path,
                           const ProgressFn& progress, const Cancel& cancel);

}  // namespace reattend
