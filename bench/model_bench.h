// Kernels, steps and policies of a model file, timed beside a peer and against the machine's limits.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/progress.h"
#include "bench/kernel_times.h"
#include "bench/policy_cost.h"
#include "engine/backend/backend.h"
#include "kernels/cpu/peak.h"

namespace reattend {

struct ModelBenchOptions {
  std::filesystem::path model;
  BackendOptions backend;
  int64_t ctx = 0;  ///< positions that the cache may have beyond what the model was trained for; 0: none
  std::vector<int64_t> depths = {0, 2048, 7680};
  int64_t prompt = 512, steps = 64, repeats = 5;
  int64_t budget = 1024, stride = 16;
  std::string peer;  ///< path of llama-bench, or empty
  bool kernels = true, rows = true, policies = true;
  int threads = 0;
  std::function<void(const std::string& notice)> tell;  ///< of a policy that is left out, and why
  ProgressFn progress;
  Cancel cancel;
};

/// A kind of work under a policy at a depth.
struct BenchRow {
  std::string work, policy;  ///< work: prefill or decode
  int64_t depth = 0;
  std::vector<double> tok_per_s;               ///< one a repeat
  std::vector<double> peer_flash, peer_plain;  ///< the peer's full attention with flash attention and without
  double bytes = 0;                            ///< read for a token: counted by the engine; of prefill at least
  double macs = 0;                             ///< multiply-adds of a token
};

struct ModelBench {
  std::string model, cpu, kv, activations, prefill, peer;  ///< peer: its path, or empty
  int threads = 0;
  int64_t repeats = 0;
  std::string peer_failure;                  ///< why the peer was run no more; empty where nothing failed
  std::vector<double> stream, usual_stream;  ///< GB/s of the best and the median pass, measured all along
  cpu::Peak peak;
  std::vector<BenchRow> rows;
  std::vector<KernelTime> kernels;
  int64_t cost_depth = 0;  ///< of policies
  std::vector<PolicyCost> policies;
  Settings scoring = Settings();  ///< the one of them whose every step is full, scores and selects
  bool stopped = false;           ///< interrupted: what stands here is finished
};

/// What was finished, with `stopped` set, where it was interrupted. Throws Error (usage) for depths that do not fit.
ModelBench bench_model(const ModelBenchOptions& options);

}  // namespace reattend
