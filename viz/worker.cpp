// One slot per kind of request, a ticket per request: what is answered is the newest, or nothing.
#include "viz/worker.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "base/error.h"

namespace reattend::viz {

Worker::Worker(OpenSource open, std::function<void()> wake)
    : open_(std::move(open)), wake_(std::move(wake)), thread_([this] { loop(); }) {}

Worker::~Worker() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    cancel_.raise();
  }
  changed_.notify_all();
  thread_.join();
}

void Worker::open(const std::filesystem::path& path) {
  Request request;
  request.task = Task::open;
  request.path = path;
  post(std::move(request));
}

void Worker::replay_layer(const Settings& settings, int32_t layer) {
  Request request;
  request.task = Task::replay_layer;
  request.settings = settings;
  request.layer = layer;
  post(std::move(request));
}

void Worker::replay_all(const Settings& settings) {
  Request request;
  request.task = Task::replay_all;
  request.settings = settings;
  post(std::move(request));
}

void Worker::rows(int32_t layer, int32_t kv_head, int32_t first_step) {
  Request request;
  request.task = Task::rows;
  request.layer = layer;
  request.kv_head = kv_head;
  request.first_step = first_step;
  post(std::move(request));
}

void Worker::post(Request request) {
  {
    const std::lock_guard lock(mutex_);
    const int kind = static_cast<int>(request.task);
    if (request.task == Task::open) {
      for (int other = 0; other < kTasks; ++other) waiting_[other].reset(), ++tickets_[other];
      results_ = {};
    }
    request.ticket = ++tickets_[kind];
    // The same kind is superseded, a less urgent one has to make room; what is more urgent goes on.
    if (running_ && static_cast<int>(running_->task) >= kind) cancel_.raise();
    waiting_[kind] = std::move(request);
  }
  changed_.notify_all();
}

Results Worker::take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(results_, {});
}

Activity Worker::activity() const {
  const std::lock_guard lock(mutex_);
  Activity activity = activity_;
  activity.busy =
      running_ || std::any_of(waiting_, waiting_ + kTasks, [](const auto& slot) { return slot.has_value(); });
  return activity;
}

bool Worker::waiting_for(Task task) const {
  const std::lock_guard lock(mutex_);
  return waiting_[static_cast<int>(task)] || (running_ && running_->task == task && newest(*running_));
}

bool Worker::idle() const {
  if (activity().busy) return false;
  const std::lock_guard lock(mutex_);
  return !results_.trace && !results_.layer && !results_.all && !results_.rows && results_.failures.empty();
}

void Worker::loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    const auto next = [this] {
      return std::find_if(waiting_, waiting_ + kTasks, [](const auto& slot) { return slot.has_value(); });
    };
    changed_.wait(lock, [&] { return stop_ || next() != waiting_ + kTasks; });
    if (stop_) return;
    auto* slot = next();
    const Request request = *std::exchange(*slot, std::nullopt);
    running_ = request;
    cancel_ = Cancel();
    activity_ = {};
    const Cancel cancel = cancel_;
    lock.unlock();

    std::string message;
    bool interrupted = false;
    try {
      carry_out(request, cancel);
    } catch (const Cancelled&) {
      interrupted = true;
    } catch (const std::bad_alloc&) {
      message = "out of memory; close other programs, or look at a shorter trace";
    } catch (const std::exception& error) {
      message = error.what();
    }

    lock.lock();
    running_.reset();
    activity_ = {};
    if (newest(request)) {
      if (interrupted && !stop_) *slot = request;
      if (!message.empty()) results_.failures.push_back({request.task, message});
    }
    lock.unlock();
    wake_();
    lock.lock();
  }
}

void Worker::carry_out(const Request& request, const Cancel& cancel) {
  const ProgressFn progress = [this](const std::string& what, double done, double total, const std::string&) {
    report(what, done, total);
  };
  if (request.task == Task::open) {
    source_.reset();  // before the new one opens: both may hold much memory
    report("opening " + request.path.filename().string(), 0, 0);
    source_ = open_(request.path);
    auto trace = std::make_shared<OpenedTrace>();
    trace->info = source_->info();
    trace->token_texts = source_->token_texts();
    trace->steps = source_->steps();
    deliver(request, [&](Results& results) { results.trace = std::move(trace); });
    return;
  }
  if (!source_) return;  // its opening has failed, which was reported
  if (request.task == Task::rows) {
    auto rows = read_rows(request, cancel);
    deliver(request, [&](Results& results) { results.rows = std::move(rows); });
    return;
  }
  ReplayRequest replay{.settings = request.settings, .layers = {}};
  const bool one_layer = request.task == Task::replay_layer;
  if (one_layer) replay.layers = {request.layer}, replay.keep_sets = true;
  auto result = std::make_shared<const ReplayResult>(source_->replay(replay, progress, cancel));
  deliver(request, [&](Results& results) { (one_layer ? results.layer : results.all) = std::move(result); });
}

std::shared_ptr<const RowMatrix> Worker::read_rows(const Request& request, const Cancel& cancel) {
  const TraceInfo& info = source_->info();
  auto rows = std::make_shared<RowMatrix>();
  rows->layer = request.layer;
  rows->kv_head = request.kv_head;
  rows->n_prompt = info.n_prompt;
  rows->n_position = info.n_prompt + info.n_step;
  const int64_t fitting = std::max<int64_t>(1, kRowBytes / (int64_t{rows->n_position} * int64_t{sizeof(float)}));
  rows->n_row = static_cast<int32_t>(std::min<int64_t>(info.n_step, fitting));
  rows->first_step = std::clamp(request.first_step, 1, info.n_step - rows->n_row + 1);
  rows->weights.assign(static_cast<size_t>(rows->n_row) * static_cast<size_t>(rows->n_position), 0.0F);
  for (int32_t i = 0; i < rows->n_row; ++i) {
    cancel.check();
    const std::vector<float> row = source_->row(rows->layer, rows->kv_head, rows->first_step + i);
    std::copy_n(row.begin(), std::min<size_t>(row.size(), static_cast<size_t>(rows->n_position)),
                rows->weights.begin() + int64_t{i} * rows->n_position);
    report("attention rows", i + 1, rows->n_row);
  }
  return rows;
}

void Worker::deliver(const Request& request, const std::function<void(Results&)>& store) {
  const std::lock_guard lock(mutex_);
  if (newest(request)) store(results_);
}

void Worker::report(const std::string& what, double done, double total) {
  {
    const std::lock_guard lock(mutex_);
    activity_.what = what, activity_.done = done, activity_.total = total;
  }
  // Ten times a second is as often as anybody can read.
  if (const auto now = std::chrono::steady_clock::now(); now - reported_ > std::chrono::milliseconds(100)) {
    reported_ = now;
    wake_();
  }
}

}  // namespace reattend::viz
