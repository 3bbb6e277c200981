// Decides layer by layer whether all steps are prepared at once or a part of them at a time, and which layers are taken
// together.
#include "replay/replay_run.h"

#include <algorithm>
#include <utility>

#include "replay/executor.h"
#include "replay/from_maps.h"
#include "replay/summary.h"

namespace reattend {
namespace {

constexpr int64_t kPlanShare = 16;  ///< of memory, for plans that wait for their layers

}  // namespace

ReplayRun::ReplayRun(ReplayState& state, const Policy& policy, const ReplayRequest& request, const Listeners& listeners)
    : state_(state),
      info_(state.info),
      policy_(policy),
      request_(request),
      to_(listeners),
      layers_(state.layers_of(request)),
      plans_(layers_.size()) {
  result_.settings = request.settings, result_.from_maps = request.from_maps;
}

ReplayResult ReplayRun::run() {
  const auto n_thread = static_cast<size_t>(state_.pool.n_thread());
  const auto n_plan = static_cast<size_t>(std::max<int64_t>(1, state_.memory / kPlanShare / plan_bytes()));
  for (size_t at = 0; at < layers_.size();) {
    // Layers that are prepared are taken together, as many as are done before anybody wants to hear of the first.
    size_t end = std::min(layers_.size(), at + std::min(n_plan, n_thread * (result_.layers.empty() ? 1 : 8)));
    state_.pool.run(static_cast<int64_t>(end - at), [&](int64_t i, int) {
      const size_t l = at + static_cast<size_t>(i);
      if (!plans_[l]) plans_[l] = std::make_unique<LayerPlans>(policy_, layers_[l], info_.n_prompt, info_.n_step);
    });
    const size_t done = request_.from_maps ? from_maps(at) : from_keys(at, end);
    while (at < done) plans_[at++].reset();
  }
  result_.total = summarize(info_, result_.layers);
  report("replay", static_cast<double>(layers_.size()));
  return std::move(result_);
}

void ReplayRun::report(const char* what, double done) const {
  if (to_.progress) to_.progress(what, done, static_cast<double>(layers_.size()), "layers");
  to_.cancel.check();
}

void ReplayRun::take(LayerReplay layer) {
  for (const PositionRuns& set : layer.sets) set_bytes_ += set.bytes();
  result_.layers.push_back(std::move(layer));
  result_.per_layer.push_back(summarize(info_, std::span(&result_.layers.back(), 1)));
  ReplaySummary& summary = result_.per_layer.back();
  summary.ms_per_token = summary.ms_per_token_full = 0, summary.assumed_rates.clear();  // of a trace of one layer
  if (to_.on_layer) to_.on_layer(result_.layers.back(), result_.per_layer.back());
}

size_t ReplayRun::from_maps(size_t at) {
  check_from_maps(*plans_[at], request_.settings, info_);
  report("replay", static_cast<double>(at));
  take(state_.run_from_maps(*plans_[at], layers_[at], to_.cancel));
  return at + 1;
}

/// Of layers [at, end), those that are prepared, or the first alone.
size_t ReplayRun::from_keys(size_t at, size_t end) {
  const bool slow = plans_[at]->kept_from == KeptFrom::lists || request_.output_error || request_.estimates;
  if (slow || to_.on_part) end = std::min(end, at + (to_.on_part ? 1 : static_cast<size_t>(state_.pool.n_thread())));
  const int64_t limit = state_.memory - fixed_bytes();
  std::vector<ReplayState::Job> jobs;
  int64_t working = 0;  // bytes that the jobs need beside their layers
  for (size_t l = at; l < end; ++l) {
    PreparedLayer* const known = state_.cache.find(layers_[l]);
    const PreparedLayer::Need need = need_of(*plans_[l]);
    if (known == nullptr || !known->has(need)) break;
    const int64_t more = working_bytes(*plans_[l], {1, info_.n_step});
    if (!state_.cache.has_room(*known, known->bytes_with(need), limit - working - more)) break;
    if (l == at) report("replay", static_cast<double>(at));
    working += more;
    jobs.push_back(state_.make_job(layers_[l], *state_.cache.get(layers_[l], limit), *plans_[l]));
    known->prepare(need, state_.pool, to_.cancel);
  }
  if (jobs.empty()) {
    take(prepare_and_run(at, limit));
    return at + 1;
  }
  for (LayerReplay& layer : state_.run_jobs(jobs, request_, to_.on_part, to_.cancel)) take(std::move(layer));
  to_.cancel.check();
  return at + jobs.size();
}

LayerReplay ReplayRun::prepare_and_run(size_t at, int64_t limit) {
  report("prepare", static_cast<double>(at));
  const LayerPlans& plans = *plans_[at];
  PreparedLayer* const prepared = state_.cache.get(layers_[at], limit);
  if (prepared == nullptr) fail_small(PreparedLayer::unprepared_bytes(info_));
  const PreparedLayer::Need need = need_of(plans);
  const int64_t working = working_bytes(plans, {1, info_.n_step});
  PreparedStore* const store = state_.store.get();
  const bool keeps = store != nullptr && prepared->bytes_made(need) * info_.n_stored() > limit - working;
  if (keeps) store->load(layers_[at], need, *prepared);
  bool whole = state_.cache.make_room(prepared->bytes_with(need), limit - working);
  if (!whole) {
    state_.cache.drop_others();
    prepared->forget();
    if (keeps) store->load(layers_[at], need, *prepared);
    whole = state_.cache.make_room(prepared->bytes_with(need), limit - working);
  }
  const ReplayState::Job job = state_.make_job(layers_[at], *prepared, plans);
  if (!whole) return run_in_parts(job, need, at, limit);
  prepared->prepare(need, state_.pool, to_.cancel);
  if (keeps) {
    store->save(layers_[at], *prepared);
    prepared->prepare(need, state_.pool, to_.cancel);  // rankings that are mapped now have no sums of theirs
  }
  return state_.run_job(job, request_, to_.on_part, state_.pool, to_.cancel);
}

/// A part of the steps at a time, each as long as memory allows.
LayerReplay ReplayRun::run_in_parts(const ReplayState::Job& job, const PreparedLayer::Need& need, size_t at,
                                    int64_t limit) {
  PreparedLayer& prepared = *job.prepared;
  const auto simulation = simulate(*job.plans, prepared, job.prompt, state_.pool);
  LayerReplay out = make_layer_replay(job.layer, prepared, request_);
  int64_t kept_sets = 0;  // bytes of those that the request asked for
  for (Steps part = {1, 0}; part.last < info_.n_step;) {
    part = {part.last + 1, last_of_part(*job.plans, need, prepared, part.last + 1, limit - kept_sets)};
    report("replay", static_cast<double>(at) + static_cast<double>(part.first - 1) / info_.n_step);
    const Steps steps = {part.first == 1 ? 0 : part.first, part.last};
    prepared.prepare_part(need, steps, simulation->open_rankings(), state_.pool, to_.cancel);
    const Decisions decisions = simulation->decide(part, to_.cancel);
    measure(*job.plans, decisions, prepared, request_, static_cast<bool>(to_.on_part), info_.rope, state_.pool,
            to_.cancel, out);
    if (to_.on_part) to_.on_part(prepared, part, out);
    kept_sets += drop_sets(part, out);
  }
  if (!request_.keep_sets) out.sets.clear();
  return out;
}

/// Sets that only on_part was to see go; returns the bytes of the others.
int64_t ReplayRun::drop_sets(Steps part, LayerReplay& out) const {
  int64_t bytes = 0;
  for (int32_t t = part.first; t <= part.last && !out.sets.empty(); ++t) {
    for (int32_t g = 0; g < info_.n_kv_head; ++g) {
      PositionRuns& set = out.sets[static_cast<size_t>(t - 1) * info_.n_kv_head + g];
      if (!request_.wants_set(t, g)) set = {};
      bytes += set.bytes();
    }
  }
  return bytes;
}

int32_t ReplayRun::last_of_part(const LayerPlans& plans, const PreparedLayer::Need& need, const PreparedLayer& prepared,
                                int32_t first, int64_t limit) const {
  const auto bytes = [&](int32_t last) {
    const Steps steps = {first, last};
    return prepared.bytes_with(need, {first == 1 ? 0 : first, last}) + working_bytes(plans, steps);
  };
  if (bytes(first) > limit) fail_small(bytes(first));
  int32_t fits = first, beyond = info_.n_step + 1;
  while (beyond - fits > 1) {
    const int32_t middle = fits + (beyond - fits) / 2;
    (bytes(middle) <= limit ? fits : beyond) = middle;
  }
  return fits;
}

void ReplayRun::fail_small(int64_t bytes) const {
  state_.fail_memory("one layer's queries, keys and values, a step's rows and the results",
                     (bytes + fixed_bytes()) / 8 * 9);
}

PreparedLayer::Need ReplayRun::need_of(const LayerPlans& plans) const {
  const bool once = plans.kept_from == KeptFrom::prompt;
  const bool looks_up = plans.kept_from != KeptFrom::lists && (plans.rank.present || plans.prompt.chooses());
  return {
      .rank = plans.rank,
      .rank_depth = plans.rank_depth,
      .mass_depth = plans.set_depth,
      .outputs = request_.output_error,
      .kept_depth = looks_up ? std::max(1, once ? plans.prompt.keep : plans.rank_depth) : 0,  // a choice of none is one
      .from_prompt = once,
      .has_overlaps = plans.compares};
}

/// The result, plans, and the sets that are there already.
int64_t ReplayRun::fixed_bytes() const {
  const int64_t n = int64_t{info_.n_step} * info_.n_kv_head;
  const int64_t copied = request_.output_error && info_.has_values ? int64_t{info_.n_step} * info_.n_head * 4 : 0;
  const int64_t layer =
      replay_bytes(info_, request_) + copied + (request_.keep_sets ? n * int64_t{sizeof(PositionRuns)} : 0);
  const auto n_layer = static_cast<int64_t>(layers_.size());
  return n_layer * layer + std::min(n_layer * plan_bytes(), std::max(plan_bytes(), state_.memory / kPlanShare)) +
         set_bytes_;
}

/// What decides and measures these steps of a layer, beside the layer itself.
int64_t ReplayRun::working_bytes(const LayerPlans& plans, Steps steps) const {
  const int64_t n_step = steps.size(), n_kv = info_.n_kv_head, n_last = int64_t{info_.n_prompt} + info_.n_step;
  int64_t bytes = n_step * n_kv * int64_t{sizeof(Decision)} + int64_t{info_.n_head} * n_last * 16;
  if (plans.kept_from == KeptFrom::lists) {
    bytes += (n_step + 1) * (plans.shared ? 1 : n_kv) * (int64_t{plans.kept_depth} * 4 + 24);
  }
  const auto sets_of = [&](Steps of, int64_t n_head) {
    const int64_t each = int64_t{sizeof(PositionRuns)} + PositionRuns::most_bytes(plans.kept_depth, n_last);
    return std::max(0, of.size()) * n_head * each;
  };
  if (to_.on_part) return bytes + sets_of(steps, n_kv);
  if (!request_.keep_sets) return bytes;
  const Steps wanted = {std::max(steps.first, request_.set_steps.first), std::min(steps.last, request_.set_steps.last)};
  return bytes + sets_of(wanted, request_.set_kv_head < 0 ? n_kv : 1);
}

}  // namespace reattend
