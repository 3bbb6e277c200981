// Checks requests against the trace, and replays single layers.
#include "replay/replay_state.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "replay/executor.h"
#include "replay/from_maps.h"
#include "traces/schema.h"

namespace reattend {
namespace {

/// Code, threads, the file's buffers: bytes of a process that no layer is held by (47 MB with a trace of 20,000 steps).
constexpr int64_t kProgram = 64'000'000;

}  // namespace

ReplayState::ReplayState(std::shared_ptr<ReplaySource> from, ThreadPool& threads, int64_t most)
    : source(std::move(from)),
      info(source->info()),
      pool(threads),
      all_memory(most),
      memory(most),
      cache(*source, info) {
  set_aside(0);
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

void ReplayState::set_aside(int64_t bytes) {
  const int64_t left = all_memory - std::min(kProgram, all_memory / 8) - bytes;
  if (left <= 0) fail_memory("what is found out about all steps", bytes + bytes / 4);
  memory = left, aside = bytes;
}

void ReplayState::fail_memory(const std::string& what, int64_t needed) const {
  constexpr auto kGb = static_cast<double>(kGigabyte);
  const double gigabytes = std::ceil(static_cast<double>(needed + all_memory - memory) / kGb * 100) / 100;
  fail({.where = info.path.string(),
        .expected = fmt::format("{:.2f} GB of memory for {}", gigabytes, what),
        .got = fmt::format("{:.3g} GB that may be used", static_cast<double>(all_memory) / kGb),
        .remedy = fmt::format("give --memory {:.2f}, or replay a slice of fewer steps", gigabytes)});
}

std::vector<int32_t> ReplayState::layers_of(const ReplayRequest& request) const {
  std::vector<int32_t> layers = request.layers;
  for (int32_t i = 0; request.layers.empty() && i < info.n_stored(); ++i) layers.push_back(info.stored_layer(i));
  for (const int32_t l : layers) {
    const bool stored = info.layers.empty() || std::binary_search(info.layers.begin(), info.layers.end(), l);
    if (l >= 0 && l < info.n_layer && !info.acts(l)) {
      fail_usage({.where = fmt::format("{}: layer {}", info.path.string(), l),
                  .expected = fmt::format("one without a window, on which a policy acts: {}",
                                          fmt::join(info.acting_layers(), ", ")),
                  .got = fmt::format("one that looks back {} positions whatever the policy",
                                     info.windows[static_cast<size_t>(l)]),
                  .remedy = {}});
    }
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

PreparedLayer& ReplayState::read(int32_t index) {
  PreparedLayer* const prepared = cache.get(index, memory);
  if (prepared == nullptr) {
    fail_memory("the queries, keys and values of one layer", PreparedLayer::unprepared_bytes(info));
  }
  return *prepared;
}

void ReplayState::check_needs(const Policy& policy, const Settings& settings) const {
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

PromptData ReplayState::prompt_data(const PromptNeeds& needs, int32_t index) {
  PromptData out;
  const auto take = [&](std::vector<float>& to, std::vector<float> from, int64_t least, const char* name) {
    const auto bad = std::find_if_not(from.begin(), from.end(), [](float x) { return std::isfinite(x); });
    if (static_cast<int64_t>(from.size()) < least || bad != from.end()) {
      fail({.where = fmt::format("{}: {} of layer {}", info.path.string(), name, index),
            .expected = fmt::format("{} finite numbers", least),
            .got = bad == from.end() ? fmt::format("{}", from.size())
                                     : fmt::format("{} as number {}", *bad, bad - from.begin()),
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

ReplayState::Job ReplayState::make_job(int32_t index, PreparedLayer& prepared, const LayerPlans& plans) {
  Job job = {.layer = index, .prepared = &prepared, .plans = &plans, .prompt = {}};
  if (plans.kept_from != KeptFrom::prompt) {
    job.prompt = prompt_data(plans.needs, index);
  } else if (!prepared.has_prompt(plans.prompt)) {
    prepared.prepare_prompt(plans.prompt, prompt_data(plans.needs, index).queries, pool);
  }
  return job;
}

LayerReplay ReplayState::run_job(const Job& job, const ReplayRequest& request, const PartFn& on_part,
                                 ThreadPool& threads, const Cancel& cancel) const {
  LayerReplay out = make_layer_replay(job.layer, *job.prepared, request);
  const Steps all = {1, info.n_step};
  const Decisions decisions = simulate(*job.plans, *job.prepared, job.prompt, threads)->decide(all, cancel);
  const bool all_sets = static_cast<bool>(on_part);
  measure(*job.plans, decisions, *job.prepared, request, all_sets, info.rope, threads, cancel, out);
  if (on_part) on_part(*job.prepared, all, out);
  if (!request.keep_sets) out.sets.clear();
  return out;
}

std::vector<LayerReplay> ReplayState::run_jobs(const std::vector<Job>& jobs, const ReplayRequest& request,
                                               const PartFn& on_part, const Cancel& cancel) {
  std::vector<LayerReplay> out(jobs.size());
  if (jobs.size() == 1) {
    out[0] = run_job(jobs[0], request, on_part, pool, cancel);
    return out;
  }
  std::vector<uint8_t> done(jobs.size(), 0);
  try {
    pool.run(static_cast<int64_t>(jobs.size()), [&](int64_t i, int) {
      ThreadPool alone(1);
      const auto at = static_cast<size_t>(i);
      out[at] = run_job(jobs[at], request, {}, alone, cancel);
      done[at] = 1;
    });
  } catch (const Cancelled&) {
    // What is interrupted for something more urgent starts again, and would otherwise never get beyond these jobs.
  }
  out.resize(static_cast<size_t>(std::ranges::find(done, 0) - done.begin()));
  return out;
}

LayerReplay ReplayState::run_from_maps(const LayerPlans& plans, int32_t index, const Cancel& cancel) const {
  const int64_t bytes = int64_t{info.n_step} * info.n_map * 8;
  if (bytes > memory) fail_memory("the attention map of one KV head", bytes);
  const auto map_of = [&](int32_t kv_head) { return source->map(index, kv_head); };
  return replay_from_maps(plans, index, info, map_of, cancel);
}

}  // namespace reattend
