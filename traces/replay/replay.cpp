// Prepares layers as requests need them, keeps as many as memory allows, and runs policies on them.
#include "traces/replay/replay.h"

#include <algorithm>
#include <cmath>
#include <list>
#include <numeric>

#include <fmt/format.h>

#include "base/error.h"
#include "traces/replay/estimates.h"
#include "traces/replay/executor.h"
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

  /// Passes go through all layers in the same order, so the one used last is the one needed again last: it leaves
  /// first. The newest itself stays.
  void shrink() {
    int64_t bytes = 0;
    for (const Entry& entry : cache) bytes += entry.prepared->bytes();
    while (bytes > memory_limit && cache.size() > 1) {
      const auto last = std::prev(cache.end(), 2);
      bytes -= last->prepared->bytes();
      cache.erase(last);
    }
  }

  std::vector<int32_t> layers_of(const ReplayRequest& request) const {
    std::vector<int32_t> layers = request.layers;
    if (layers.empty()) {
      layers.resize(static_cast<size_t>(info.n_layer));
      std::iota(layers.begin(), layers.end(), 0);
    }
    for (const int32_t l : layers) {
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

  PromptData prompt_data(const Policy& policy, int32_t index) {
    const PromptNeeds needs = policy.needs();
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

  LayerReplay run_layer(const Policy& policy, int32_t index, const ReplayRequest& request, const Cancel& cancel) {
    PreparedLayer& prepared = layer(index);
    const Decisions decisions = decide(policy, index, prepared, prompt_data(policy, index), pool, cancel);
    prepared.prepare(decisions.rank, decisions.depth, request.output_error, pool, cancel);
    ReplayRequest measured = request;
    measured.keep_sets = request.keep_sets || request.estimates;
    LayerReplay out = measure(policy, index, decisions, prepared, measured, info.rope, pool, cancel);
    if (request.estimates) measure_losses(prepared, out, pool, cancel);
    if (!request.keep_sets) out.sets.clear();
    shrink();
    return out;
  }
};

Replayer::Replayer(std::shared_ptr<ReplaySource> source, ThreadPool& pool, int64_t memory_limit)
    : state_(std::make_unique<State>(std::move(source), pool, memory_limit)) {}
Replayer::~Replayer() = default;

const TraceInfo& Replayer::info() const {
  return state_->info;
}

ReplayResult Replayer::run(const ReplayRequest& request, const ProgressFn& progress, const Cancel& cancel) {
  const TraceInfo& info = state_->info;
  if (info.n_step == 0) {
    fail({.where = info.path.string(),
          .expected = "at least one decode step",
          .got = "none",
          .remedy = "record with --steps 1 or more"});
  }
  const std::unique_ptr<Policy> policy = make_policy(request.settings, state_->shape());
  state_->check_needs(*policy, request.settings);
  const std::vector<int32_t> layers = state_->layers_of(request);
  ReplayResult result{.settings = request.settings};
  for (const int32_t l : layers) {
    cancel.check();
    if (progress)
      progress("replay", static_cast<double>(result.layers.size()), static_cast<double>(layers.size()), "layers");
    result.layers.push_back(state_->run_layer(*policy, l, request, cancel));
    result.per_layer.push_back(summarize(info, std::span(&result.layers.back(), 1)));
    result.per_layer.back().ms_per_token = result.per_layer.back().ms_per_token_full = 0;
  }
  result.total = summarize(info, result.layers);
  if (progress) progress("replay", static_cast<double>(layers.size()), static_cast<double>(layers.size()), "layers");
  return result;
}

const PreparedLayer& Replayer::layer(int32_t layer, const Cancel& cancel) {
  state_->layers_of({.settings = Settings("full"), .layers = {layer}});
  PreparedLayer& prepared = state_->layer(layer);
  prepared.prepare({}, 1, false, state_->pool, cancel);
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
