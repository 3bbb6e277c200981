// Reads a matrix row by row, so that it can be stopped after each.
#include "viz/session/rows.h"

#include <algorithm>
#include <utility>

namespace reattend::viz {

RowReader::RowReader(BackgroundTasks& tasks, int kind, std::shared_ptr<Replayer> replayer, int64_t bytes)
    : tasks_(tasks),
      kind_(kind),
      replayer_(std::move(replayer)),
      n_prompt_(replayer_->info().n_prompt),
      n_step_(replayer_->info().n_step),
      bytes_(bytes),
      found_(std::make_shared<Found>()) {}

RowReader::~RowReader() {
  tasks_.drop(kind_);
}

Steps RowReader::steps_from(int32_t first_step) const {
  const int64_t row_bytes = (int64_t{n_prompt_} + n_step_) * int64_t{sizeof(float)};
  const auto n_row = static_cast<int32_t>(std::clamp<int64_t>(bytes_ / row_bytes, 1, n_step_));
  const int32_t first = std::clamp(first_step, 1, n_step_ - n_row + 1);
  return {first, first + n_row - 1};
}

void RowReader::read(int32_t layer, int32_t kv_head, int32_t first_step) {
  const Steps steps = steps_from(first_step);
  const RowMatrix shape = {.layer = layer,
                           .kv_head = kv_head,
                           .first_step = steps.first,
                           .n_row = steps.size(),
                           .n_position = n_prompt_ + n_step_,
                           .n_prompt = n_prompt_,
                           .weights = {}};
  tasks_.post(kind_, [shape, replayer = replayer_, found = found_](const BackgroundTasks::Context& context) {
    auto rows = std::make_shared<RowMatrix>(shape);
    rows->weights.assign(static_cast<size_t>(rows->n_row) * static_cast<size_t>(rows->n_position), 0.0F);
    for (int32_t i = 0; i < rows->n_row; ++i) {
      context.cancel.check();
      const std::vector<float> row = replayer->row(rows->layer, rows->kv_head, rows->first_step + i);
      std::copy(row.begin(), row.end(), rows->weights.begin() + int64_t{i} * rows->n_position);
      context.progress("attention rows", i + 1, rows->n_row, "rows");
    }
    context.deliver([&] { *found = std::move(rows); });
  });
}

std::shared_ptr<const RowMatrix> RowReader::take() {
  std::shared_ptr<const RowMatrix> rows;
  tasks_.locked([&] { rows = std::exchange(*found_, nullptr); });
  return rows;
}

bool RowReader::has_news() const {
  bool news = false;
  tasks_.locked([&] { news = *found_ != nullptr; });
  return news;
}

}  // namespace reattend::viz
