// Prompts kept in a file: what a prefill made is read back, and only what the prompt has more is computed.
#pragma once
#include <filesystem>
#include <span>
#include <string>

#include "engine/generate.h"

namespace reattend {

/// Its seconds are those of reading and computing.
struct CachedPrefill : Prefilled {
  int32_t n_loaded = 0;     ///< leading prompt tokens that came from the file
  double load_seconds = 0;  ///< of seconds
  std::string notice;       ///< why the file could not serve, or served only in part; empty: nothing to tell
};

/// prefill(), to the bit, with the file at `path` as memory between runs. What the two prompts begin with is loaded,
/// the rest is computed, and unless the file's prompt goes further the new one takes its place. A file that was made
/// under other conditions (version, device, instruction set, types), or that lacks what options.needs asks for, is made
/// anew. One that is damaged, of another model or no prompt cache is never touched: Error.
/// With a loaded prompt, observers see the computed chunks alone.
CachedPrefill prefill_cached(Backend& backend, const Model& model, std::span<const int32_t> prompt,
                             const PrefillOptions& options, const std::filesystem::path& path);

}  // namespace reattend
