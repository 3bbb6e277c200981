// `reattend bench --shape`: milliseconds a token against context, for models whose weights nobody needs to have.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "bench/synthetic.h"
#include "cli/command.h"
#include "engine/backend/backend.h"
#include "report/chart.h"

namespace reattend::cli {

struct ScaleOptions {
  std::string shape, type = "Q4_0";
  std::vector<int64_t> contexts = {2048, 8192, 32768, 131072};
  BackendOptions backend;
  int64_t budget = 1024, stride = 16, repeats = 3;
  int64_t memory = 0;  ///< bytes that may be used; 0: what is free
};

/// One policy at one context: a rhythm of `stride` steps, the refresh among them.
struct ScalePoint {
  int64_t context = 0;
  Settings settings;
  double ms = 0;    ///< a token, kinds of steps count with their medians
  BytesRead bytes;  ///< of a token, mean over the rhythm: counted
  double predicted_ms(double stream_gbps) const {
    return static_cast<double>(bytes.weights + bytes.attend + bytes.select) / stream_gbps / 1e6;
  }
};

struct ScaleReport {
  std::string shape, type, cpu, kv;
  int threads = 0;
  int64_t repeats = 0, free_bytes = 0, weight_bytes = 0, position_bytes = 0;
  std::vector<double> stream;  ///< GB/s
  std::vector<ScalePoint> points;
  struct Skipped {
    int64_t context, bytes;  ///< what it would have taken
  };
  std::vector<Skipped> skipped;
  bool stopped = false;
};

/// Throws Error (usage) for what it does not know, Error where not even the weights fit into memory.
ScaleReport bench_scale(const ScaleOptions& options, const Globals& globals);

std::string to_text(const ScaleReport& report);
nlohmann::json to_json(const ScaleReport& report);
Chart to_chart(const ScaleReport& report);

}  // namespace reattend::cli
