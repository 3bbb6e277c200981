// Where the tests of label `model` find the real model.
#pragma once
#include <cstdlib>
#include <filesystem>

namespace reattend::testing {

/// ${XDG_CACHE_HOME:-~/.cache}/reattend/SmolLM2-135M-Instruct.Q4_1.gguf, whether it has been fetched or not.
inline std::filesystem::path default_model() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  const std::filesystem::path base = cache != nullptr && *cache != '\0'
                                         ? std::filesystem::path(cache)
                                         : std::filesystem::path(home != nullptr ? home : "") / ".cache";
  return base / "reattend" / "SmolLM2-135M-Instruct.Q4_1.gguf";
}

}  // namespace reattend::testing
