// What the front end asks of a trace; the worker calls it, never the thread that draws.
#pragma once
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/progress.h"
#include "replay/replay.h"
#include "traces/read/reader.h"

namespace reattend::viz {

/// A trace with its replay. Every call may read the file, compute for seconds, and throw Error.
class ViewSource {
 public:
  virtual ~ViewSource() = default;
  virtual const TraceInfo& info() const = 0;
  virtual std::vector<std::string> token_texts() = 0;  ///< [L + T + 1] raw bytes of each token
  virtual StepData steps() = 0;
  /// Throws Cancelled soon after `cancel` is raised.
  virtual ReplayResult replay(const ReplayRequest& request, const ProgressFn& progress, const Cancel& cancel) = 0;
  /// The group-mean full attention row of step t: [L + t] weights, of positions 0 .. L - 1 + t.
  virtual std::vector<float> row(int32_t layer, int32_t kv_head, int32_t t) = 0;
};

/// Opens a trace. Throws Error for what is not one.
using OpenSource = std::function<std::unique_ptr<ViewSource>(const std::filesystem::path&)>;

}  // namespace reattend::viz
