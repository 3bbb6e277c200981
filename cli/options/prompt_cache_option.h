// `--prompt-cache FILE`: how commands come to a prefilled prompt, and what they say about it.
#pragma once
#include <string>

#include <CLI/CLI.hpp>
#include <nlohmann/json_fwd.hpp>

#include "engine/prompt_cache.h"

namespace reattend::cli {

struct PromptCacheOption {
  std::string file;  ///< empty: every prompt is computed
  bool replace = false;

  void add_to(CLI::App& app);
  /// For prefill_cached(), whose notices go to stderr.
  PromptCacheFile cache() const;
  /// "prefill  loaded 3000 tokens from FILE in 0.10 s", without a line's end.
  std::string line(const CachedPrefill& made) const;
  /// Adds prefill_s, prompt_loaded and prompt_load_s.
  static void report(const CachedPrefill& made, nlohmann::json& json);
};

}  // namespace reattend::cli
