// What `record` stores of a run: maps, measures, layers, steps.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "cli/options/step_range.h"
#include "engine/record/recording.h"

namespace reattend::cli {

/// Must stay where it is once add_to() was called.
struct StorageOptions {
  std::string maps = "top:64", measure = "full", layers, steps = "256";

  void add_to(CLI::App& app);
  StepRange range() const { return parse_steps(steps, false); }
  /// Throws Error (usage) naming the option that can't be taken.
  StoredParts parts(const ModelShape& shape) const;
};

}  // namespace reattend::cli
