// What each kind of request does, and where its result goes.
#include "viz/session/worker.h"

#include <algorithm>
#include <utility>

namespace reattend::viz {

void Worker::open(const std::filesystem::path& path) {
  errands_.drop_all();
  errands_.locked([this] { results_ = {}; });
  post(Task::open, [this, path](const Errands::Context& context) {
    source_.reset();  // before the new one opens: both may hold much memory
    context.progress("opening " + path.filename().string(), 0, 0, "");
    source_ = open_(path);
    auto trace = std::make_shared<OpenedTrace>();
    trace->info = source_->info();
    trace->token_texts = source_->token_texts();
    trace->steps = source_->steps();
    context.deliver([&] { results_.trace = std::move(trace); });
  });
}

void Worker::replay(Task task, const ReplayRequest& request, std::shared_ptr<const ReplayResult> Results::*result) {
  post(task, [this, request, result](const Errands::Context& context) {
    if (!source_) return;  // its opening has failed, which was reported
    if (request.output_error && !source_->info().has_values) return;
    auto found = std::make_shared<const ReplayResult>(source_->replay(request, context.progress, context.cancel));
    context.deliver([&] { results_.*result = std::move(found); });
  });
}

void Worker::replay_layer(const Settings& settings, int32_t layer) {
  ReplayRequest request = {.settings = settings, .layers = {layer}, .output_error = false, .keep_sets = true};
  errands_.drop(static_cast<int>(Task::layer_errors));
  replay(Task::replay_layer, request, &Results::layer);
  request.output_error = true;
  replay(Task::layer_errors, request, &Results::layer);
}

void Worker::replay_all(const Settings& settings) {
  ReplayRequest request = {.settings = settings, .layers = {}, .output_error = false};
  errands_.drop(static_cast<int>(Task::all_errors));
  replay(Task::replay_all, request, &Results::all);
  request.output_error = true;
  replay(Task::all_errors, request, &Results::all);
}

void Worker::rows(int32_t layer, int32_t kv_head, int32_t first_step) {
  post(Task::rows, [this, layer, kv_head, first_step](const Errands::Context& context) {
    if (source_) read_rows(layer, kv_head, first_step, context);
  });
}

void Worker::read_rows(int32_t layer, int32_t kv_head, int32_t first_step, const Errands::Context& context) {
  const TraceInfo& info = source_->info();
  auto rows = std::make_shared<RowMatrix>();
  rows->layer = layer;
  rows->kv_head = kv_head;
  rows->n_prompt = info.n_prompt;
  rows->n_position = info.n_prompt + info.n_step;
  const int64_t fitting = std::max<int64_t>(1, kRowBytes / (int64_t{rows->n_position} * int64_t{sizeof(float)}));
  rows->n_row = static_cast<int32_t>(std::min<int64_t>(info.n_step, fitting));
  rows->first_step = std::clamp(first_step, 1, info.n_step - rows->n_row + 1);
  rows->weights.assign(static_cast<size_t>(rows->n_row) * static_cast<size_t>(rows->n_position), 0.0F);
  for (int32_t i = 0; i < rows->n_row; ++i) {
    context.cancel.check();
    const std::vector<float> row = source_->row(rows->layer, rows->kv_head, rows->first_step + i);
    std::copy_n(row.begin(), std::min<size_t>(row.size(), static_cast<size_t>(rows->n_position)),
                rows->weights.begin() + int64_t{i} * rows->n_position);
    context.progress("attention rows", i + 1, rows->n_row, "rows");
  }
  context.deliver([&] { results_.rows = std::move(rows); });
}

Results Worker::take() {
  Results results;
  errands_.locked([&] { results = std::exchange(results_, {}); });
  for (Errands::Failure& failure : errands_.take_failures()) {
    results.failures.push_back({static_cast<Task>(failure.kind), std::move(failure.message)});
  }
  return results;
}

bool Worker::idle() const {
  if (activity().busy || errands_.has_failures()) return false;
  bool none = false;
  errands_.locked([&] { none = !results_.trace && !results_.layer && !results_.all && !results_.rows; });
  return none;
}

}  // namespace reattend::viz
