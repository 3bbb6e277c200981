// The measurements of `reattend bench` on a model file.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/options/model_options.h"
#include "cli/reports/bench.h"

namespace reattend::cli {

struct BenchOptions {
  ModelOptions model;
  std::vector<int64_t> depths = {0, 2048, 7680};
  int64_t prompt = 512, steps = 64, repeats = 5;
  int64_t budget = 1024, stride = 16;
  std::string peer;  ///< path of llama-bench, or empty
  bool kernels = true, rows = true, policies = true;
};

/// What was finished, with `stopped` set, where it was interrupted. Throws Error (usage) for depths that do not fit.
BenchReport bench_model(const BenchOptions& options, const Globals& globals);

}  // namespace reattend::cli
