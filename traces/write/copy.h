// Parts of a trace for another one: its header, its prompt with some of its steps, its steps.
#pragma once
#include <cstdint>
#include <vector>

#include "base/progress.h"
#include "base/thread_pool.h"
#include "traces/read/reader.h"
#include "traces/write/writer.h"

namespace reattend {

/// What was recorded of `trace`, as the header of another one.
TraceHeader header_of(TraceReader& trace);

/// Copies from one trace to a writer whose header has the trace's layers or some of them. Everything reads a layer or a
/// step at a time.
class TraceCopy {
 public:
  /// `header` is the one that the writer has begun with.
  TraceCopy(TraceReader& trace, TraceWriter& writer, const TraceHeader& header, const Cancel& cancel);
  /// Keys, values, queries and row sums of the prompt and the first n_step steps, as of one prompt.
  void prompt(int32_t n_step, ThreadPool& pool, const ProgressFn& progress);
  void steps(int32_t first, int32_t last, const ProgressFn& progress);

 private:
  std::vector<float> row_sums(const LayerData& data, int32_t layer, int32_t n_step, ThreadPool& pool);
  TraceReader& trace_;
  TraceWriter& writer_;
  const TraceHeader& header_;
  const Cancel& cancel_;
  std::vector<int32_t> kept_;  ///< places of the header's layers among those that the trace stores
};

}  // namespace reattend
