// Prepares layers as requests need them, keeps as many as memory allows, and runs policies on them.
#include "traces/replay/replay.h"

#include <algorithm>
#include <cmath>
#include <list>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "traces/replay/estimates.h"
#include "traces/replay/executor.h"
#include "traces/replay/from_maps.h"
#include "traces/replay/summary.h"
#include "traces/schema.h"

namespace reattend {

struct Replayer::State {
  std::shared_ptr<ReplaySource> source;
  TraceInfo info;
  ThreadPool& pool;
  int64_t memory_limit;
  struct Entry {
    int32_t layer;
    std::unique_ptr<PreparedLayer> prepared;
  };
  std::list<Entry> cache;  ///< least recently used first

  State(std::shared_ptr<ReplaySource> from, ThreadPool& threads, int64_t limit)
      : source(std::move(from)), info(source->info()), pool(threads), memory_limit(limit) {
    const RunShape s = shape();
    if (s.n_layer < 1 || s.n_kv_head < 1 || s.n_head < s.n_kv_head || s.n_head % s.n_kv_head != 0 || s.n_prompt < 1 ||
        info.d_head < 1 || info.n_step < 0 || info.n_step > INT32_MAX - s.n_prompt - 1) {
      fail({.where = info.path.string(),
            .expected = "a trace with layers, heads and a prompt",
            .got = fmt::format("{} layers, {} heads, {} KV heads, {} prompt tokens", s.n_layer, s.n_head, s.n_kv_head,
                               s.n_prompt),
            .remedy = {}});
    }
  }

  RunShape shape() const {
    return {.n_layer = info.n_layer, .n_head = info.n_head, .n_kv_head = info.n_kv_head, .n_prompt = info.n_prompt};
  }

  PreparedLayer& layer(int32_t index) {
    const auto found = std::find_if(cache.begin(), cache.end(), [&](const Entry& e) { return e.layer == index; });
    if (found != cache.end()) {
      cache.splice(cache.end(), cache, found);
    } else {
      cache.push_back({index, std::make_unique<PreparedLayer>(info, source->layer(index))});
    }
    return *cache.back().prepared;
  }

  int64_t held() const {
    int64_t bytes = 0;
    for (const Entry& entry : cache) bytes += entry.prepared->bytes();
    return bytes;
  }

  /// Passes go through all layers in the same order, so the one used last is the one needed again last: it leaves
  /// first. The newest itself stays.
  void shrink() {
    int64_t bytes = held();
    while (bytes > memory_limit && cache.size() > 1) {
      const auto last = std::prev(cache.end(), 2);
      bytes -= last->prepared->bytes();
      cache.erase(last);
    }
  }

  std::vector<int32_t> layers_of(const ReplayRequest& request) const {
    std::vector<int32_t> layers = request.layers;
    for (int32_t i = 0; request.layers.empty() && i < info.n_stored(); ++i) layers.push_back(info.stored_layer(i));
    for (const int32_t l : layers) {
      const bool stored = info.layers.empty() || std::binary_search(info.layers.begin(), info.layers.end(), l);
      if (l >= 0 && l < info.n_layer && !stored) {
        fail_usage({.where = fmt::format("{}: layer {}", info.path.string(), l),
                    .expected = fmt::format("one that the trace stores: {}", fmt::join(info.layers, ", ")),
                    .got = "one that it was told to leave out",
                    .remedy = "record again with other --layers"});
      }
      if (l < 0 || l >= info.n_layer || std::count(layers.begin(), layers.end(), l) > 1) {
        fail_usage({.where = "layers",
                    .expected = fmt::format("different layers from 0 to {}", info.n_layer - 1),
                    .got = fmt::format("{}", l),
                    .remedy = {}});
      }
    }
    return layers;
  }

  /// Throws Error where the trace does not hold what the policy needs of the prompt.
  void check_needs(const Policy& policy, const Settings& settings) const {
    const PromptNeeds needs = policy.needs();
    const int32_t n_query = std::min(info.n_prompt, schema::kPromptQueries);
    if (needs.row_sums && !info.has_prompt_row_sums) {
      fail({.where = info.path.string(),
            .expected = fmt::format("sums of the prompt's attention rows, which {} starts from", settings.policy()),
            .got = "a trace without them",
            .remedy = "record it again with `reattend record --prompt-rows`, the default"});
    }
    if (needs.window > n_query) {
      fail_usage({.where = fmt::format("window of {}", settings.policy()),
                  .expected = fmt::format("at most {}: a trace holds the queries of so many prompt tokens", n_query),
                  .got = fmt::format("{}", needs.window),
                  .remedy = "give a smaller --window, or run the policy in the engine"});
    }
  }

  PromptData prompt_data(const PromptNeeds& needs, int32_t index) {
    PromptData out;
    const auto take = [&](std::vector<float>& to, std::vector<float> from, int64_t least, const char* name) {
      const bool finite = std::all_of(from.begin(), from.end(), [](float x) { return std::isfinite(x); });
      if (static_cast<int64_t>(from.size()) < least || !finite) {
        fail({.where = fmt::format("{}: {} of layer {}", info.path.string(), name, index),
              .expected = fmt::format("{} finite numbers", least),
              .got = finite ? fmt::format("{}", from.size()) : "others",
              .remedy = "the trace holds a run that broke down, or is damaged"});
      }
      to = std::move(from);
    };
    if (needs.row_sums) {
      take(out.row_sums, source->prompt_row_sums(index), int64_t{info.n_head} * info.n_prompt, "prompt/row_sums");
    }
    if (needs.window > 0) {
      take(out.queries, source->prompt_queries(index), int64_t{needs.window} * info.n_head * info.d_head,
           "prompt/queries");
    }
    return out;
  }

  /// A layer on its way through a request.
  struct Job {
    int32_t layer;
    PreparedLayer* prepared;
    const LayerPlans* plans;
    PromptData prompt;
  };

  bool is_ready(int32_t index, const PreparedLayer::Need& need) const {
    const auto found = std::find_if(cache.begin(), cache.end(), [&](const Entry& e) { return e.layer == index; });
    return found != cache.end() && found->prepared->has(need);
  }

  /// With everything that the plans need; on all threads, so for one layer after the other.
  Job make_job(int32_t index, const LayerPlans& plans, const PreparedLayer::Need& need, const Cancel& cancel) {
    Job job = {.layer = index, .prepared = &layer(index), .plans = &plans, .prompt = {}};
    job.prepared->prepare(need, pool, cancel);
    if (plans.kept_from != KeptFrom::prompt) {
      job.prompt = prompt_data(plans.needs, index);
    } else if (!job.prepared->has_prompt(plans.prompt)) {
      job.prepared->prepare_prompt(plans.prompt, prompt_data(plans.needs, index).queries, pool);
    }
    return job;
  }

  LayerReplay run_job(const Job& job, const ReplayRequest& request, ThreadPool& threads, const Cancel& cancel) const {
    const Decisions decisions = decide(*job.plans, *job.prepared, job.prompt, threads, cancel);
    ReplayRequest measured = request;
    measured.keep_sets = request.keep_sets || request.estimates;
    LayerReplay out = measure(*job.plans, job.layer, decisions, *job.prepared, measured, info.rope, threads, cancel);
    if (request.estimates) measure_losses(*job.prepared, out, threads, cancel);
    if (request.estimates || request.output_norm) measure_output_norms(*job.prepared, out);
    if (!request.keep_sets) out.sets.clear();
    return out;
  }

  LayerReplay run_from_maps(const LayerPlans& plans, int32_t index, const Cancel& cancel) const {
    std::vector<MapData> maps;
    for (int32_t g = 0; g < info.n_kv_head; ++g) maps.push_back(source->map(index, g));
    return replay_from_maps(plans, index, info, maps, cancel);
  }

  /// One job shares its work between the threads, several are shared between them.
  std::vector<LayerReplay> run_jobs(const std::vector<Job>& jobs, const ReplayRequest& request, const Cancel& cancel) {
    std::vector<LayerReplay> out(jobs.size());
    if (jobs.size() == 1) {
      out[0] = run_job(jobs[0], request, pool, cancel);
      return out;
    }
    pool.run(static_cast<int64_t>(jobs.size()), [&](int64_t i, int) {
      ThreadPool alone(1);
      const auto at = static_cast<size_t>(i);
      out[at] = run_job(jobs[at], request, alone, cancel);
    });
    return out;
  }
};

Replayer::Replayer(std::shared_ptr<ReplaySource> source, ThreadPool& pool, int64_t memory_limit)
    : state_(std::make_unique<State>(std::move(source), pool, memory_limit)) {}
Replayer::~Replayer() = default;

const TraceInfo& Replayer::info() const {
  return state_->info;
}

int64_t Replayer::bytes() const {
  return state_->held();
}

ReplayResult Replayer::run(const ReplayRequest& request, const ProgressFn& progress, const Cancel& cancel,
                           const LayerFn& on_layer) {
  State& state = *state_;
  const TraceInfo& info = state.info;
  check_has_steps(info);
  const std::unique_ptr<Policy> policy = make_policy(request.settings, state.shape());
  state.check_needs(*policy, request.settings);
  const std::vector<int32_t> layers = state.layers_of(request);
  const auto report = [&](const char* what, size_t done) {
    if (progress) progress(what, static_cast<double>(done), static_cast<double>(layers.size()), "layers");
    cancel.check();
  };
  ReplayResult result{.settings = request.settings, .from_maps = request.from_maps};
  const auto take = [&](LayerReplay layer) {
    result.layers.push_back(std::move(layer));
    result.per_layer.push_back(summarize(info, std::span(&result.layers.back(), 1)));
    result.per_layer.back().ms_per_token = result.per_layer.back().ms_per_token_full = 0;
    if (on_layer) on_layer(result.layers.back(), result.per_layer.back());
  };
  std::vector<std::unique_ptr<LayerPlans>> plans(layers.size());
  for (size_t at = 0; at < layers.size();) {
    // Layers that are prepared are taken together, as many as are done before anybody wants to hear of the first.
    const auto n_thread = static_cast<size_t>(state.pool.n_thread());
    size_t end = std::min(layers.size(), at + n_thread * (result.layers.empty() ? 1 : 8));
    state.pool.run(static_cast<int64_t>(end - at), [&](int64_t i, int) {
      const size_t l = at + static_cast<size_t>(i);
      if (!plans[l]) plans[l] = std::make_unique<LayerPlans>(*policy, layers[l], info.n_prompt, info.n_step);
    });
    const auto need = [&](size_t l) {
      return PreparedLayer::Need{.rank = plans[l]->rank,
                                 .rank_depth = plans[l]->rank_depth,
                                 .mass_depth = plans[l]->set_depth,
                                 .outputs = request.output_error};
    };
    if (request.from_maps) {
      check_from_maps(*plans[at], request.settings, info);
      report("replay", at);
      take(state.run_from_maps(*plans[at], layers[at], cancel));
      plans[at++].reset();
      continue;
    }
    const bool slow = plans[at]->kept_from == KeptFrom::lists || request.output_error || request.estimates;
    if (slow) end = std::min(end, at + n_thread);
    const bool ready = state.is_ready(layers[at], need(at));
    report(ready ? "replay" : "prepare", at);
    std::vector<State::Job> jobs;
    for (size_t l = at; l < end && (l == at || (ready && state.is_ready(layers[l], need(l)))); ++l) {
      jobs.push_back(state.make_job(layers[l], *plans[l], need(l), cancel));
    }
    for (LayerReplay& layer : state.run_jobs(jobs, request, cancel)) take(std::move(layer));
    for (size_t l = at; l < at + jobs.size(); ++l) plans[l].reset();
    at += jobs.size();
    state.shrink();
  }
  result.total = summarize(info, result.layers);
  report("replay", layers.size());
  return result;
}

const PreparedLayer& Replayer::layer(int32_t layer, const Cancel& cancel) {
  state_->layers_of({.settings = Settings("full"), .layers = {layer}});
  PreparedLayer& prepared = state_->layer(layer);
  prepared.prepare({}, state_->pool, cancel);
  state_->shrink();
  return prepared;
}

std::vector<float> Replayer::row(int32_t layer, int32_t kv_head, int32_t t) {
  const TraceInfo& info = state_->info;
  if (layer < 0 || layer >= info.n_layer || kv_head < 0 || kv_head >= info.n_kv_head || t < 0 || t > info.n_step) {
    fail_usage({.where = "row",
                .expected = fmt::format("a layer below {}, a KV head below {}, a step up to {}", info.n_layer,
                                        info.n_kv_head, info.n_step),
                .got = fmt::format("layer {}, KV head {}, step {}", layer, kv_head, t),
                .remedy = {}});
  }
  const PreparedLayer& prepared = state_->layer(layer);
  std::vector<float> row = prepared.full_row(kv_head, t);
  state_->shrink();
  return row;
}

}  // namespace reattend
