// Prompts kept in a file: what a prefill made is read back, and only what the prompt has more is computed.
#pragma once
#include <filesystem>
#include <functional>
#include <span>
#include <string>

#include "engine/generate.h"

namespace reattend {

/// A file that is memory between runs.
struct PromptCacheFile {
  std::filesystem::path path;  ///< empty: none
  bool replace = false;  ///< what it holds may be lost to a prompt that doesn't begin with it, or to other conditions
  /// Called before anything long is computed, with why the file could not serve, or served only in part.
  std::function<void(const std::string& notice)> tell;
};

/// Its seconds are those of reading and computing.
struct CachedPrefill : Prefilled {
  int32_t n_loaded = 0;     ///< leading prompt tokens that came from the file
  double load_seconds = 0;  ///< of seconds
};

/// prefill(), to the bit, with a file as memory between runs, or without one where its path is empty. What the two prompts begin with is loaded and the rest is
/// computed. The file takes the new prompt where that loses nothing: its own is the beginning of it (and lacks, at
/// most, what options.needs asks for). A file of a prompt that goes elsewhere, or made under other conditions (version,
/// device, instruction set, types), stays as it is unless `replace` says otherwise. One that is damaged, of another
/// model or no prompt cache is never touched: Error. With a loaded prompt, observers see the computed chunks alone.
CachedPrefill prefill_cached(Backend& backend, const Model& model, std::span<const int32_t> prompt,
                             const PrefillOptions& options, const PromptCacheFile& file);

}  // namespace reattend
