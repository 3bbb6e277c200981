// Measures settings on several traces: all share the weights, and prompts are dropped before memory runs out.
#include "evals/tune_engines.h"

#include <fmt/format.h>

#include "engine/sequence_needs.h"
#include "traces/read/fingerprint.h"

namespace reattend {
namespace {

/// Of prefilled prompts, held together: ten of 8,192 tokens of SmolLM2 in f16. A prompt that has to leave is
/// computed again when its trace is asked for.
constexpr int64_t kHeldBytes = int64_t{2} << 30;

/// The sequence, and the logits of full attention's steps.
int64_t bytes_of(const TraceInfo& info, const ModelShape& shape, const std::vector<Settings>& policies) {
  const int32_t n_ctx = info.n_prompt + info.n_step;
  return sequence_bytes(shape, info.kv_type, n_ctx, needs_of(policies, shape, info.kv_type, info.n_prompt, n_ctx)) +
         int64_t{info.n_step + 1} * info.n_vocab * static_cast<int64_t>(sizeof(float));
}

}  // namespace

TuneEngines::TuneEngines(TracedModel model, const std::vector<std::shared_ptr<TraceReader>>& traces,
                         std::vector<Settings> policies, ThreadPool& pool, const ProgressFn& progress,
                         const Cancel& cancel)
    : model_(std::move(model)),
      traces_(traces),
      policies_(std::move(policies)),
      pool_(pool),
      progress_(progress),
      cancel_(cancel),
      benches_(traces.size()),
      device_(open_device(model_, traces.front()->info(), pool)) {}

Score TuneEngines::measure(const Settings& settings, size_t trace) {
  return bench_of(trace).scorer.measure(settings, progress_, cancel_);
}

TuneEngines::Bench::Bench(const std::shared_ptr<TracedDevice>& device, const TracedModel& of, TraceReader& trace,
                          const std::vector<Settings>& policies, const ProgressFn& progress, const Cancel& cancel)
    : run(device, of, trace, policies, progress, cancel),
      scorer(run.backend(), run.model(), run.prefilled(), run.full()) {}

TuneEngines::Bench& TuneEngines::bench_of(size_t trace) {
  if (benches_[trace]) return *benches_[trace];
  const TraceInfo& info = traces_[trace]->info();
  const int64_t bytes = bytes_of(info, device_->model.shape(), policies_);
  for (size_t i = 0; i < benches_.size() && bytes_ + bytes > kHeldBytes; ++i) {
    if (!benches_[i]) continue;
    bytes_ -= benches_[i]->bytes;
    benches_[i].reset();
  }
  const TracedModel of = model_of(trace);
  // Another trace may have been recorded with other types of cache or activations.
  if (!serves(*device_, of, info)) device_ = open_device(of, info, pool_);
  benches_[trace] = std::make_unique<Bench>(device_, of, *traces_[trace], policies_, progress_, cancel_);
  benches_[trace]->bytes = bytes;
  bytes_ += bytes;
  return *benches_[trace];
}

/// A prompt cache holds one prompt: the first trace's is FILE, another's FILE with the trace's name before the suffix,
/// and behind it what tells it from a trace of that name in another folder.
TracedModel TuneEngines::model_of(size_t trace) const {
  TracedModel out = model_;
  const std::filesystem::path path = out.prompt_cache.path;
  if (path.empty() || trace == 0) return out;
  const std::string name = fmt::format("{}-{}-{}", path.stem().string(), traces_[trace]->info().path.stem().string(),
                                       fingerprint(*traces_[trace]).substr(0, 8));
  out.prompt_cache.path = path.parent_path() / (name + path.extension().string());
  return out;
}

}  // namespace reattend
