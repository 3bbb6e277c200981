// Full attention rows of consecutive steps as one matrix, read on the background thread.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "base/background.h"
#include "replay/replay.h"

namespace reattend::viz {

/// Row i is step first_step + i; it has n_prompt + first_step + i weights, the rest of its n_position columns are 0.
struct RowMatrix {
  int32_t layer = 0, kv_head = 0, first_step = 1, n_row = 0, n_position = 0, n_prompt = 0;
  std::vector<float> weights;  ///< [n_row][n_position]
  int32_t n_weight(int32_t row) const { return n_prompt + first_step + row; }
  Steps steps() const { return {first_step, first_step + n_row - 1}; }
  bool holds(int32_t step) const { return steps().holds(step); }
  const float* row_of_step(int32_t step) const { return weights.data() + int64_t{step - first_step} * n_position; }
};

/// Belongs to the drawing thread; the newest request is answered.
class RowReader {
 public:
  /// A matrix takes at most so many bytes, and has at least one row. The queue must outlive this.
  RowReader(BackgroundTasks& tasks, int kind, std::shared_ptr<Replayer> replayer, int64_t bytes);
  ~RowReader();
  RowReader(const RowReader&) = delete;
  RowReader& operator=(const RowReader&) = delete;

  /// Which steps a matrix that begins at `first_step` holds; it begins earlier where too few steps follow.
  Steps steps_from(int32_t first_step) const;
  /// As many rows from `first_step` on.
  void read(int32_t layer, int32_t kv_head, int32_t first_step);
  /// Null where there is nothing new.
  std::shared_ptr<const RowMatrix> take();
  bool has_news() const;

 private:
  using Found = std::shared_ptr<const RowMatrix>;

  BackgroundTasks& tasks_;
  const int kind_;
  const std::shared_ptr<Replayer> replayer_;  ///< the queue's
  const int32_t n_prompt_, n_step_;
  const int64_t bytes_;
  std::shared_ptr<Found> found_;  ///< guarded by the queue's lock; shared with its tasks
};

}  // namespace reattend::viz
