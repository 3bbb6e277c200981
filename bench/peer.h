// llama.cpp's llama-bench, its rounds interleaved with our own measurements.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/progress.h"

namespace reattend {

/// llama-bench on PATH, if it is there.
std::optional<std::filesystem::path> find_peer();

struct PeerRun {
  std::filesystem::path program, model;
  int64_t depth = 0, prompt = 0, steps = 0;
  int threads = 0;
  bool flash = false;  ///< attention
};
/// Tokens a second, one a test that it ran: f16 cache, full attention.
struct PeerResult {
  std::vector<double> prefill, decode;
};
/// Throws Error with the peer's own last words when it fails, Cancelled when `cancel` is raised.
PeerResult run_peer(const PeerRun& run, const Cancel& cancel);

}  // namespace reattend
