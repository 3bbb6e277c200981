// What a benchmark found, as a table, JSON and a roofline chart.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "bench/kernel_times.h"
#include "bench/policy_cost.h"
#include "kernels/cpu/peak.h"
#include "report/chart.h"

namespace reattend::cli {

/// A kind of work under a policy at a depth.
struct BenchRow {
  std::string work, policy;  ///< work: prefill or decode
  int64_t depth = 0;
  std::vector<double> tok_per_s;               ///< one a repeat
  std::vector<double> peer_flash, peer_plain;  ///< the peer's full attention with flash attention and without
  double bytes = 0;                            ///< read for a token: counted by the engine; of prefill at least
  double macs = 0;                             ///< multiply-adds of a token
};

struct BenchReport {
  std::string model, cpu, kv, activations, peer;  ///< peer: its path, or empty
  int threads = 0;
  int64_t repeats = 0;
  std::string peer_failure;                  ///< why the peer was run no more; empty where nothing failed
  std::vector<double> stream, usual_stream;  ///< GB/s of the best and the median pass, measured all along
  cpu::Peak peak;
  std::vector<BenchRow> rows;
  std::vector<KernelTime> kernels;
  int64_t cost_depth = 0;  ///< of policies
  std::vector<PolicyCost> policies;
  Settings scoring{"full"};  ///< the one of them whose every step is full, scores and selects
  bool stopped = false;      ///< interrupted: what stands here is finished
};

std::string to_text(const BenchReport& report);
nlohmann::json to_json(const BenchReport& report);
/// Rate against multiply-adds per byte under the machine's limits.
Chart to_chart(const BenchReport& report);

/// Columns as wide as their widest cell, the first `n_left` of them aligned left.
std::string aligned_columns(const std::vector<std::vector<std::string>>& rows, size_t n_left);

}  // namespace reattend::cli
