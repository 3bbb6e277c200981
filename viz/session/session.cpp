// Turns changes of setting and selection into requests, and takes what they find.
#include "viz/session/session.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include <fmt/format.h>

#include "base/error.h"
#include "policies/policy.h"
#include "replay/cost/cost.h"
#include "replay/estimates.h"
#include "tune/judge.h"
#include "viz/session/landscape.h"
#include "viz/session/token_text.h"

namespace reattend::viz {
namespace {

constexpr int kind(Task task) {
  return static_cast<int>(task);
}

/// What is kept beside the replay: rows, the same with signs and their sets, results (two answers of the newest
/// request, one whole one and one that is judged), recorded steps, maps of layers. `row_bytes`: of a matrix of rows.
int64_t bytes_beside(const TraceInfo& info, int64_t row_bytes) {
  const int64_t n = int64_t{info.n_step} * info.n_layer * info.n_kv_head;
  const ReplayRequest request = {.settings = info.settings, .estimates = true};
  const int64_t recorded = n * (22 + 4 * static_cast<int64_t>(info.overlap_k.size())) + int64_t{info.n_step} * 250;
  const int64_t texts = (int64_t{info.n_prompt} + info.n_step) * int64_t{sizeof(std::string)};
  const int64_t maps = int64_t{info.n_step} * info.n_layer * kLayerMeasures * 4;
  return 3 * row_bytes + 4 * info.n_layer * replay_bytes(info, request) + recorded + texts + maps;
}

bool of_one_model(const TraceInfo& a, const TraceInfo& b) {
  const TraceInfo* const both[] = {&a, &b};
  try {
    check_same_model(both);
  } catch (const Error&) {
    return false;
  }
  return true;
}

}  // namespace

Session::Session(OpenSource open, std::function<void()> wake, const Means& means)
    : open_(std::move(open)),
      means_(means),
      pool_(std::make_shared<ThreadPool>(means.n_thread)),
      tasks_(kTasks + n_provider_kinds(), std::move(wake)),
      providers_(make_providers(tasks_, kTasks)) {}

void Session::open(const std::filesystem::path& path) {
  take_failures();
  opening_ = path;
  open_error_.clear();
  opened_ = std::make_shared<Opening>();
  const auto work = [open = open_, path, pool = pool_, memory = means_.memory,
                     opened = opened_](const BackgroundTasks::Context& context) {
    context.progress("opening " + path.filename().string(), 0, 0, "");
    const std::shared_ptr<ReplaySource> source = open(path);
    Opening out;
    out.replayer = std::make_shared<Replayer>(source, *pool, memory);
    const TraceInfo& info = source->info();
    const int64_t all_rows = int64_t{info.n_step} * (int64_t{info.n_prompt} + info.n_step) * int64_t{sizeof(float)};
    out.row_bytes = std::min(all_rows, memory / 8);
    out.replayer->set_aside(bytes_beside(info, out.row_bytes) + memory / kMapMemoryShare);
    out.trace = std::make_shared<const OpenedTrace>(info, source->token_texts(), source->steps());
    out.first = first_setting(info);
    context.deliver([&] { *opened = std::move(out); });
  };
  tasks_.post(kind(Task::open), work);
}

void Session::close() {
  leave_trace();
  opened_.reset(), opening_.clear(), path_.clear();
  ++trace_version_;
}

void Session::leave_trace() {
  replay_error_.clear(), setting_error_.clear();
  replayer_.reset(), row_reader_.reset();
  for (const auto& each : providers_) each->enter(nullptr);
  tasks_.drop_all();
  trace_.reset(), tuning_.reset(), answer_.reset(), whole_.reset(), layer_from_.reset(), rows_.reset();
  for (auto& map : layer_maps_) map.clear();
  mapped_.clear();
}

void Session::take_failures() {
  for (const BackgroundTasks::Failure& failure : tasks_.take_failures()) {
    (failure.kind == kind(Task::open) ? open_error_ : replay_error_) = failure.message;
    if (failure.kind == kind(Task::open)) opening_.clear();
  }
}

void Session::update() {
  take_failures();
  Opening opened;
  if (opened_) tasks_.locked([&] { opened = std::exchange(*opened_, {}); });
  if (opened.trace) take_opened(opened);
  if (!replayer_) return;
  if (auto rows = row_reader_->take()) rows_ = std::move(rows);
  if (auto answer = replayer_->take()) take_answer(std::move(answer));
  if (rows() != nullptr) mark_attention(*rows());
  if (!tuning_) return;
  for (const auto& each : providers_) each->update(*this);
}

void Session::set_bounds(const TuneBounds& bounds) {
  check_bounds(bounds);
  bounds_ = bounds;
  if (!trace_ || trace_->info.n_step == 0) return;
  const TraceInfo& info = trace_->info;
  const Prediction law = make_prediction(info, {}, {});
  const bool calibrated = is_calibrated(info.calibration);
  const CostUnit unit = calibrated ? CostUnit::ms : CostUnit::megabytes;
  tuning_ = std::make_shared<const TuneResult>(untried({tuned_trace(info, law, unit)}, law, calibrated, bounds_));
}

void Session::take_opened(const Opening& opened) {
  ChosenSetting first = opened.first;
  if (trace_ && of_one_model(trace_->info, opened.trace->info)) {
    first = {.settings = settings_, .why = fmt::format("kept from {}", path_.filename().string())};
    if (opening_ == path_) first.why = origin();
  } else if (initial_) {
    first = *initial_;
  }
  leave_trace();
  path_ = std::exchange(opening_, {});
  trace_ = opened.trace;
  ++trace_version_;
  replayer_ = std::make_unique<AsyncReplayer>(tasks_,
                                              AsyncReplayer::Kinds{.looked_at = kind(Task::layer),
                                                                   .masses = kind(Task::masses),
                                                                   .layer_errors = kind(Task::layer_errors),
                                                                   .errors = kind(Task::errors)},
                                              opened.replayer);
  row_reader_ = std::make_unique<RowReader>(tasks_, kind(Task::rows), opened.replayer, opened.row_bytes);
  const TraceInfo& info = trace_->info;
  const float unknown = std::numeric_limits<float>::quiet_NaN();
  for (auto& map : layer_maps_)
    map.assign(static_cast<size_t>(info.n_layer) * static_cast<size_t>(info.n_step), unknown);
  mapped_.assign(static_cast<size_t>(info.n_layer), nullptr);
  set_bounds(bounds_);
  for (const auto& each : providers_) each->enter(opened.replayer);
  enter_trace(first);
}

void Session::enter_trace(const ChosenSetting& first) {
  const TraceInfo& info = trace_->info;
  // The first layers attend to nearly everything: the middle shows what the program is about.
  selection_ = {.layer = stored_near(info.n_layer / 2, -1), .step = std::max(1, info.n_step), .position = -1};
  chosen_ = first, settings_ = first.settings;
  if (info.n_step == 0) return;
  const auto start = [this](const char* name, int32_t value, int32_t low, int32_t high, int32_t& selected) {
    if (value < 0) return;
    if (value < low || value > high) {
      open_error_ = to_line({name, fmt::format("{} to {}", low, high), std::to_string(value), "see the Trace panel"});
      return;
    }
    selected = value;
  };
  start("layer", start_.layer, 0, info.n_layer - 1, selection_.layer);
  start("KV head", start_.kv_head, 0, info.n_kv_head - 1, selection_.kv_head);
  start("step", start_.step, 1, info.n_step, selection_.step);
  start("position", start_.position, 0, info.n_prompt + info.n_step - 1, selection_.position);
  selection_.layer = stored_near(selection_.layer, -1);
  ask_for_rows();
  set_settings(settings_);
}

void Session::choose(const ChosenSetting& chosen) {
  chosen_ = chosen;
  set_settings(chosen.settings);
}

void Session::set_settings(const Settings& settings) {
  settings_ = settings;
  replay_error_.clear(), setting_error_.clear();
  if (!trace_ || trace_->info.n_step == 0) return;
  const TraceInfo& info = trace_->info;
  try {
    settings_.check_against_model(info.n_layer);
    make_policy(settings_, info.run_shape());
  } catch (const Error& error) {
    setting_error_ = error.what();
    replayer_->cancel();
    return;
  }
  const bool estimates = !find_estimate(tuning_->prediction.estimate)->needs_values;
  replayer_->submit({.settings = settings_, .estimates = estimates});
}

void Session::look() {
  replayer_->look_at({.layer = selection_.layer,
                      .kv_head = selection_.kv_head,
                      .steps = row_reader_->steps_from(std::max(1, selection_.step - 1))});
}

void Session::ask_for_rows() {
  rows_.reset();
  row_reader_->read(selection_.layer, selection_.kv_head, std::max(1, selection_.step - 1));
  look();
}

/// The stored layer that is nearest, beyond `from` if that is one of them.
int32_t Session::stored_near(int32_t layer, int32_t from) const {
  const TraceInfo& info = trace_->info;
  int32_t best = -1;
  for (int32_t i = 0; i < info.n_stored(); ++i) {
    const int32_t stored = info.stored_layer(i);
    if (from >= 0 && (layer > from ? stored < layer : stored > layer)) continue;
    if (best < 0 || std::abs(stored - layer) < std::abs(best - layer)) best = stored;
  }
  return best < 0 ? std::max(from, 0) : best;
}

void Session::select_layer(int32_t layer) {
  if (!trace_ || trace_->info.n_step == 0) return;
  layer = stored_near(std::clamp(layer, 0, trace_->info.n_layer - 1), selection_.layer);
  if (layer == selection_.layer) return;
  selection_.layer = layer;
  const bool known = answer_ && answer_->layers[static_cast<size_t>(layer)];
  layer_from_ = known ? answer_ : nullptr;
  ask_for_rows();
}

void Session::select_kv_head(int32_t kv_head) {
  if (!trace_ || trace_->info.n_step == 0) return;
  kv_head = std::clamp(kv_head, 0, trace_->info.n_kv_head - 1);
  if (kv_head == selection_.kv_head) return;
  selection_.kv_head = kv_head;
  ask_for_rows();
}

void Session::select_step(int32_t step) {
  if (!trace_ || trace_->info.n_step == 0) return;
  selection_.step = std::clamp(step, 1, trace_->info.n_step);
  if (rows() != nullptr && !rows()->holds(selection_.step)) ask_for_rows();
}

void Session::select_position(int32_t position) {
  if (!trace_) return;
  selection_.position = std::clamp(position, -1, trace_->info.n_prompt + trace_->info.n_step - 1);
}

void Session::go_to_full_step(int direction) {
  const LayerReplay* replay = layer();
  if (replay == nullptr) return;
  const int32_t n_kv_head = trace_->info.n_kv_head;
  for (int32_t t = selection_.step + direction; t >= 1 && t <= trace_->info.n_step; t += direction) {
    if (replay->full[static_cast<size_t>((t - 1) * n_kv_head + selection_.kv_head)] != 0) return select_step(t);
  }
}

bool Session::answered() const {
  for (int kind = 0; kind < kTasks; ++kind) {
    if (tasks_.waiting_for(kind)) return false;
  }
  bool opening = false;
  if (opened_) tasks_.locked([&] { opening = opened_->trace != nullptr; });
  return !tasks_.has_failures() && !opening && (!replayer_ || (!replayer_->has_news() && !row_reader_->has_news()));
}

bool Session::idle() const {
  const auto quiet = [](const std::unique_ptr<Provider>& each) { return each->idle(); };
  return answered() && !activity().busy && std::all_of(providers_.begin(), providers_.end(), quiet);
}

}  // namespace reattend::viz
