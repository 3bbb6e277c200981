// `--calibration FILE` and `--datasheet GPU`: which machine times are predicted for, and the words that say so.
#pragma once
#include <string>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "traces/read/reader.h"

namespace reattend::cli {

/// Where predicted times come from; every command that prints such a time prints `text` or `json` with it.
struct TimeSource {
  Calibration calibration;  ///< may be none at all, where the trace has none
  std::string text;         ///< "from the data sheet of RTX 4090: ...; nothing was measured", a line without its end
  nlohmann::json json;      ///< {"source": "trace" | "file" | "datasheet", "measured": bool, "text": ..., ...}
};

struct CalibrationOption {
  std::string file, gpu;  ///< at most one of them; none: the trace's own

  void add_to(CLI::App& app);
  /// Whether another machine than the trace's was asked for.
  bool given() const { return !file.empty() || !gpu.empty(); }
  /// Throws Error (usage) for a GPU that is not known, before anything long is begun.
  void check() const;
  /// Throws Error naming the file (also where it is of another model or type of cache than the trace), the GPU, or a
  /// trace that does not say how many bytes of weights a step reads.
  TimeSource source(TraceReader& trace) const;
};

}  // namespace reattend::cli
