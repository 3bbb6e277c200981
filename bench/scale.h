// Milliseconds a token against context, for models whose weights nobody needs to have.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/progress.h"
#include "bench/synthetic.h"
#include "engine/backend/backend.h"

namespace reattend {

struct ScaleOptions {
  std::string shape, type = "Q4_0";
  std::vector<int64_t> contexts = {2048, 8192, 32768, 131072};
  BackendOptions backend;
  int64_t budget = 1024, stride = 16, repeats = 3;
  int64_t memory = 0;  ///< bytes that may be used; 0: what is free
  int threads = 0;
  ProgressFn progress;
  Cancel cancel;
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

struct ScaleBench {
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

  /// Full attention's time at the point's context; NaN where it was not timed.
  double full_ms(const ScalePoint& point) const;
};

/// Throws Error (usage) for what it does not know, Error where not even the weights fit into memory.
ScaleBench bench_scale(const ScaleOptions& options);

}  // namespace reattend
