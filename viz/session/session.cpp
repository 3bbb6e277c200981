// Turns changes of setting and selection into requests, and takes what they find.
#include "viz/session/session.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include <fmt/format.h>

#include "base/error.h"
#include "policies/policy.h"
#include "viz/session/goal.h"
#include "viz/session/landscape.h"
#include "viz/session/measured.h"
#include "viz/session/project_file.h"
#include "viz/session/token_text.h"

namespace reattend::viz {
namespace {

constexpr int kind(Task task) {
  return static_cast<int>(task);
}

/// The share of the memory that a KV head's weights take, so that they are drawn and told exactly.
constexpr int64_t kWeightShare = 8;
/// A kept set that memory is set aside for; larger ones are the replay's concern.
constexpr int64_t kUsualBudget = 1024;

/// What the levels of detail of a KV head's rows take.
int64_t level_bytes(const TraceInfo& info) {
  return coarse_bytes(info.n_step + kTileSteps, int64_t{info.n_prompt} + info.n_step);
}

/// What is kept beside the replay: rows with their levels, what the policy attends to of them as runs and as bits
/// (twice, while new ones are found), results (two answers of the newest request, one whole one and one that is
/// judged) and the baseline's, recorded steps, maps of layers. `weight_bytes`: of rows.
int64_t bytes_beside(const TraceInfo& info, int64_t weight_bytes) {
  const int64_t n = int64_t{info.n_step} * info.n_layer * info.n_kv_head;
  const ReplayRequest request = {.settings = info.settings, .estimates = true};
  const int64_t recorded = n * (22 + 4 * static_cast<int64_t>(info.overlap_k.size())) + int64_t{info.n_step} * 250;
  const int64_t texts = (int64_t{info.n_prompt} + info.n_step) * int64_t{sizeof(std::string)};
  const int64_t maps = int64_t{info.n_step} * info.n_layer * kLayerMeasures * 4;
  const int64_t n_position = int64_t{info.n_prompt} + info.n_step;
  const int64_t sets = info.n_step * (n_position / 8 + PositionRuns::most_bytes(kUsualBudget, n_position));
  const int64_t results = 5 * info.n_layer * replay_bytes(info, request);
  return weight_bytes + level_bytes(info) + 2 * sets + results + recorded + texts + maps;
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
  steps_before_.reset();
  post_opening(path, nullptr);
}

void Session::reopen() {
  if (!trace_ || !opening_.empty() || waiting_for(Task::open)) return;
  steps_before_ = trace_->info.n_step;
  post_opening(path_, trace_);
}

void Session::post_opening(const std::filesystem::path& path, const std::shared_ptr<const OpenedTrace>& known) {
  opened_ = std::make_shared<Opening>();
  const auto work = [open = open_, path, known, pool = pool_, means = means_, memory = means_.memory,
                     reads_project = reads_projects_, opened = opened_](const BackgroundTasks::Context& context) {
    context.progress("opening " + path.filename().string(), 0, 0, "");
    const std::shared_ptr<ReplaySource> source = open(path);
    if (known && known->info.n_step == source->info().n_step && known->info.live == source->info().live) return;
    Opening out;
    out.replayer = std::make_shared<Replayer>(source, *pool, memory);
    const TraceInfo& info = source->info();
    const int64_t all_weights = exact_bytes(info.n_step + kTileSteps, int64_t{info.n_prompt} + info.n_step);
    out.weight_bytes = std::min(all_weights, memory / kWeightShare);
    out.replayer->set_aside(bytes_beside(info, out.weight_bytes) + memory / kMapMemoryShare);
    if (!means.cache.empty()) {
      out.store = std::make_shared<PreparedStore>(means.cache, info, means.cache_bytes);
      out.replayer->keep_prepared(out.store);
    }
    OpenedTrace trace = {info, source->token_texts(), source->steps(), source->token_ids(), nullptr};
    if (reads_project) {
      trace.project = std::make_shared<const FoundProject>(read_project(path, trace_id(info, trace.token_texts)));
    }
    out.trace = std::make_shared<const OpenedTrace>(std::move(trace));
    out.first = first_setting(info);
    context.deliver([&] { *opened = std::move(out); });
  };
  tasks_.post(kind(Task::open), work);
}

void Session::close() {
  leave_trace();
  tasks_.drop_all();
  opened_.reset(), steps_before_.reset(), opening_.clear(), path_.clear();
  ++trace_version_;
}

void Session::leave_trace() {
  replay_error_.clear(), setting_error_.clear();
  trial_.reset(), replayer_.reset(), row_tiles_.reset(), store_.reset();
  for (const auto& each : providers_) each->enter(nullptr);
  trace_.reset(), tuning_.reset(), answer_.reset(), whole_.reset(), layer_from_.reset();
  for (auto& map : layer_maps_) map.clear();
  mapped_.clear();
}

void Session::take_failures() {
  for (const BackgroundTasks::Failure& failure : tasks_.take_failures()) {
    // A growing trace that cannot be read at this moment can be at the next look.
    const bool opening = failure.kind == kind(Task::open) && !steps_before_;
    (opening ? open_error_ : replay_error_) = failure.message;
    if (opening) opening_.clear();
  }
}

void Session::update() {
  take_failures();
  Opening opened;
  if (opened_) tasks_.locked([&] { opened = std::exchange(*opened_, {}); });
  if (opened.trace) take_opened(opened);
  if (!replayer_) return;
  row_tiles_->update();
  if (auto answer = replayer_->take()) {
    if (trial_) {
      trial_->answer = answer;
      if (answer->has_masses) trial_->whole = answer;
    } else {
      take_answer(std::move(answer));
    }
  }
  if (auto passing = replayer_->take_passing(); passing && !trial_) take_passing(std::move(passing));
  if (!tuning_) return;
  for (const auto& each : providers_) each->update(*this);
  if (data<Measured>().version() == measured_version_) return;
  retune();
  for (const auto& each : providers_) each->update(*this);
}

void Session::set_bounds(const TuneBounds& bounds) {
  check_bounds(bounds);
  bounds_ = bounds;
  retune();
}

void Session::retune() {
  if (!trace_ || trace_->info.n_step == 0) return;
  measured_version_ = data<Measured>().version();
  tuning_ = tuning_of(trace_->info, bounds_, data<Measured>().files().verified);
}

ChosenSetting Session::setting_for(const Opening& opened) const {
  if (trace_ && are_of_one_model(trace_->info, opened.trace->info)) {
    const Settings& tried = trial_ ? trial_->settings : settings_;
    const bool same = opening_.empty() || opening_ == path_;
    if (!same) return {.settings = tried, .why = fmt::format("kept from {}", path_.filename().string())};
    return {.settings = tried, .why = chosen_.settings == tried ? chosen_.why : std::string()};
  }
  if (initial_) return *initial_;
  const auto& project = opened.trace->project;
  if (project && project->data) return {.settings = project->data->settings, .why = "as it was left"};
  return opened.first;
}

void Session::take_opened(const Opening& opened) {
  const bool grown = steps_before_.has_value();
  const ChosenSetting chosen = setting_for(opened);
  leave_trace();
  if (!grown) {
    tasks_.drop_all();
    path_ = std::exchange(opening_, {});
  }
  trace_ = opened.trace, store_ = opened.store;
  ++trace_version_;
  replayer_ = std::make_unique<AsyncReplayer>(tasks_,
                                              AsyncReplayer::Kinds{.looked_at = kind(Task::layer),
                                                                   .masses = kind(Task::masses),
                                                                   .layer_errors = kind(Task::layer_errors),
                                                                   .errors = kind(Task::errors)},
                                              opened.replayer);
  row_tiles_ =
      std::make_unique<RowTiles>(tasks_, RowTiles::Kinds{.looked_at = kind(Task::rows), .others = kind(Task::all_rows)},
                                 opened.replayer, opened.weight_bytes);
  const TraceInfo& info = trace_->info;
  const float unknown = std::numeric_limits<float>::quiet_NaN();
  for (auto& map : layer_maps_)
    map.assign(static_cast<size_t>(info.n_layer) * static_cast<size_t>(info.n_step), unknown);
  mapped_.assign(static_cast<size_t>(info.n_layer), nullptr);
  set_bounds(bounds_);
  for (const auto& each : providers_) each->enter(opened.replayer);
  enter_trace(chosen);
}

void Session::enter_trace(const ChosenSetting& chosen) {
  const TraceInfo& info = trace_->info;
  chosen_ = chosen, settings_ = chosen.settings;
  if (const std::optional<int32_t> before = std::exchange(steps_before_, std::nullopt)) {
    if (selection_.step == std::max(1, *before)) selection_.step = std::max(1, info.n_step);
    if (info.n_step > 0) ask_for_rows(), set_settings(settings_);
    return;
  }
  // The first layers attend to nearly everything: the middle shows what the program is about.
  selection_ = {.layer = stored_near(info.n_layer / 2, -1), .step = std::max(1, info.n_step), .position = -1};
  if (info.n_step == 0) return;
  if (trace_->project && trace_->project->data) {
    const ProjectData& project = *trace_->project->data;
    set_bounds(project.bounds);
    const Selection& at = project.selection;
    selection_ = {.layer = std::min(at.layer, info.n_layer - 1),
                  .kv_head = std::min(at.kv_head, info.n_kv_head - 1),
                  .step = std::min(at.step, info.n_step),
                  .position = std::min(at.position, info.n_prompt + info.n_step - 1)};
  }
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
  trial_.reset();
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
  replayer_->submit(request_to_judge(*tuning_, settings_));
}

LookedAt Session::looked_at() const {
  return {.layer = selection_.layer, .kv_head = selection_.kv_head, .steps = {1, trace_->info.n_step}};
}

void Session::ask_for_rows() {
  row_tiles_->look_at(selection_.layer, selection_.kv_head, selection_.step);
  replayer_->look_at(looked_at());
}

void Session::show_rows(const RowTiles::Shown& shown) {
  if (row_tiles_) row_tiles_->show(shown);
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
  row_tiles_->show_step(selection_.step);
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
  return !tasks_.has_failures() && !opening && (!replayer_ || (!replayer_->has_news() && !row_tiles_->has_news()));
}

bool Session::idle() const {
  const auto quiet = [](const std::unique_ptr<Provider>& each) { return each->idle(); };
  // Without steps, or a trace, update() gives providers no turn.
  return answered() && !activity().busy && (!tuning_ || std::ranges::all_of(providers_, quiet));
}

}  // namespace reattend::viz
