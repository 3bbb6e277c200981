// `--memory GB`: how much a replay may hold.
#pragma once
#include <cstdint>

#include <CLI/CLI.hpp>

#include "replay/replay.h"

namespace reattend::cli {

struct MemoryOption {
  double gigabytes = 2;

  void add_to(CLI::App& app);
  int64_t bytes() const { return static_cast<int64_t>(gigabytes * static_cast<double>(kGigabyte)); }
};

}  // namespace reattend::cli
