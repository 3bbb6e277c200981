// Where the tests of label `model` find the real model.
#pragma once
#include <cstdlib>
#include <filesystem>

namespace reattend::test {

/// ${XDG_CACHE_HOME:-~/.cache}/reattend/SmolLM2-135M-Instruct.Q4_1.gguf, whether it is there or not.
inline std::filesystem::path default_model_path() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  const std::filesystem::path root = cache != nullptr && *cache != 0
                                         ? std::filesystem::path(cache)
                                         : std::filesystem::path(home ? home : ".") / ".cache";
  return root / "reattend" / "SmolLM2-135M-Instruct.Q4_1.gguf";
}

}  // namespace reattend::test
