// The class Replayer: takes one request after another on the layers of a trace.
#include "replay/replay.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/error.h"
#include "replay/estimates.h"
#include "replay/executor.h"
#include "replay/from_maps.h"
#include "replay/replay_run.h"
#include "replay/simulate.h"
#include "replay/summary.h"
#include "traces/schema.h"

namespace reattend {

Replayer::Replayer(std::shared_ptr<ReplaySource> source, ThreadPool& pool, int64_t memory)
    : state_(std::make_unique<ReplayState>(std::move(source), pool, memory)) {}
Replayer::~Replayer() = default;

const TraceInfo& Replayer::info() const {
  return state_->info;
}

int64_t Replayer::bytes() const {
  return state_->cache.bytes();
}

int64_t Replayer::memory() const {
  return state_->memory;
}

bool Replayer::holds_all_layers() const {
  bool all = true;
  for (int32_t i = 0; i < info().n_stored(); ++i) {
    all = all && state_->cache.find(info().stored_layer(i)) != nullptr;
  }
  return all;
}

void Replayer::set_aside(int64_t bytes) {
  state_->set_aside(bytes);
}

int64_t Replayer::aside() const {
  return state_->aside;
}

void Replayer::keep_prepared(std::shared_ptr<PreparedStore> store) {
  state_->store = std::move(store);
}

std::vector<float> mean_over_groups(const std::vector<float>& values, int32_t group) {
  std::vector<float> means(values.size() / static_cast<size_t>(group));
  for (size_t i = 0; i < means.size(); ++i) {
    double sum = 0;
    for (int32_t h = 0; h < group; ++h) sum += values[i * static_cast<size_t>(group) + static_cast<size_t>(h)];
    means[i] = static_cast<float>(sum / group);
  }
  return means;
}

int64_t replay_bytes(const TraceInfo& info, const ReplayRequest& request) {
  const int64_t n = int64_t{info.n_step} * info.n_kv_head;
  const int64_t errors = request.output_error && info.has_values ? int64_t{info.n_step} * info.n_head * 4 : 0;
  constexpr int64_t kPlain = 25, kLosses = 12;  // bytes of an entry
  return n * (kPlain + (request.estimates ? kLosses : 0)) + errors * (request.estimates || request.output_norm ? 2 : 1);
}

void Replayer::keep_one_layer() {
  state_->cache.keep_one();
}

ReplayResult Replayer::run(const ReplayRequest& request, const ProgressFn& progress, const Cancel& cancel,
                           const LayerFn& on_layer, const PartFn& on_part) {
  ReplayState& state = *state_;
  check_has_steps(state.info);
  const std::unique_ptr<Policy> policy = make_policy(request.settings, state.shape());
  state.check_needs(*policy, request.settings);
  return ReplayRun(state, *policy, request, {progress, cancel, on_layer, on_part}).run();
}

const PreparedLayer& Replayer::layer(int32_t layer, const Cancel& cancel) {
  state_->layers_of({.settings = Settings("full"), .layers = {layer}});
  ReplayState& state = *state_;
  PreparedLayer& prepared = state.read(layer);
  if (state.cache.make_room(prepared.bytes_with({}), state.memory)) prepared.prepare({}, state.pool, cancel);
  return prepared;
}

namespace {

void check_place(const TraceInfo& info, const char* where, int32_t layer, int32_t kv_head, int32_t t) {
  if (layer >= 0 && layer < info.n_layer && kv_head >= 0 && kv_head < info.n_kv_head && t >= 0 && t <= info.n_step)
    return;
  fail_usage({.where = where,
              .expected = fmt::format("a layer below {}, a KV head below {}, a step up to {}", info.n_layer,
                                      info.n_kv_head, info.n_step),
              .got = fmt::format("layer {}, KV head {}, step {}", layer, kv_head, t),
              .remedy = {}});
}

}  // namespace

Choice Replayer::choice(const Settings& settings, int32_t layer, int32_t kv_head, int32_t step, const Cancel& cancel) {
  ReplayState& state = *state_;
  check_place(state.info, "choice", layer, kv_head, step);
  state.layers_of({.settings = settings, .layers = {layer}});
  const std::unique_ptr<Policy> policy = make_policy(settings, state.shape());
  state.check_needs(*policy, settings);
  const LayerPlans plans(*policy, layer, state.info.n_prompt, state.info.n_step);
  PreparedLayer& prepared = state.read(layer);
  return choice_of(plans, prepared, state.prompt_data(plans.needs, layer), kv_head, step, state.pool, cancel);
}

std::vector<float> Replayer::row(int32_t layer, int32_t kv_head, int32_t t) {
  std::vector<float> row(static_cast<size_t>(info().n_prompt) + static_cast<size_t>(std::max(0, t)));
  rows(layer, kv_head, {t, t}, [&](int32_t) { return row.data(); }, {});
  return row;
}

void Replayer::rows(int32_t layer, int32_t kv_head, Steps steps, const std::function<float*(int32_t t)>& to,
                    const Cancel& cancel) {
  for (const int32_t t : {steps.first, steps.last}) check_place(state_->info, "row", layer, kv_head, t);
  const PreparedLayer& prepared = state_->read(layer);
  state_->pool.run(steps.size(), [&](int64_t i, int) {
    cancel.check();
    const int32_t t = steps.first + static_cast<int32_t>(i);
    prepared.copy_row(kv_head, t, to(t));
  });
}

}  // namespace reattend
