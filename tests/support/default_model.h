// Where the tests of label `model` find real models.
#pragma once
#include <cstdlib>
#include <filesystem>
#include <string>

namespace reattend::testing {

/// ${XDG_CACHE_HOME:-~/.cache}/reattend/NAME, whether it has been fetched or not.
inline std::filesystem::path stored_model(const std::string& name) {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  const std::filesystem::path base = cache != nullptr && *cache != '\0'
                                         ? std::filesystem::path(cache)
                                         : std::filesystem::path(home != nullptr ? home : "") / ".cache";
  return base / "reattend" / name;
}

inline std::filesystem::path default_model() {
  return stored_model("SmolLM2-135M-Instruct.Q4_1.gguf");
}
inline std::filesystem::path qwen_model() {
  return stored_model("Qwen2.5-Coder-0.5B-Instruct.Q4_K_M.gguf");
}
inline std::filesystem::path gemma_model() {
  return stored_model("gemma-3-270m.Q4_K_M.gguf");
}

}  // namespace reattend::testing
