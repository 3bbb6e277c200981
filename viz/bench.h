// `reattend-view --bench`: how long the window takes to answer what a user does, beside what it should take.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "base/progress.h"
#include "viz/session/session.h"

namespace reattend::viz {

struct BenchShape {
  int32_t n_step = 512, n_position = 8192, n_layer = 30, n_kv_head = 3;  ///< of 64 channels, 3 query heads each
  /// "512x8192" or "4096x32768x24x2". Throws Error (usage) naming `option`.
  static BenchShape parse(const std::string& text, const std::string& option);
};

struct BenchOptions {
  BenchShape shape;
  std::filesystem::path trace;  ///< empty: one of `shape`, written to a temporary folder
  Means means;
  double idle_seconds = 20;
  std::vector<std::string> parts;  ///< of bench_parts(), which are to be timed; empty: all
  ProgressFn progress;
};

/// One row: what was done, and what it took.
struct BenchTime {
  std::string key, work, unit;
  double value = 0;
  double cpu_ms = 0;  ///< of all threads; nan where time is not what is measured
  double target = 0;  ///< nan: there is none
  bool more_is_better = false;
  bool met() const { return !(more_is_better ? value < target : value > target); }
};

struct BenchResult {
  std::string trace;
  int32_t n_step = 0, n_position = 0, n_layer = 0, n_kv_head = 0, threads = 0;
  int64_t file_bytes = 0, memory_limit = 0;
  std::vector<BenchTime> times;
};

/// What can be timed on its own, in the order in which it is. A trace is opened in any case; all layers are prepared
/// only for what needs their answers.
std::vector<std::string> bench_parts();
/// Needs no display: frames are built, and not rasterised.
BenchResult run_bench(const BenchOptions& options);
std::string to_text(const BenchResult& result);
/// Of one run or several.
std::string to_json(const std::vector<BenchResult>& results);

}  // namespace reattend::viz
