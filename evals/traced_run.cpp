// Runs a trace's text in the engine: model and types are its header's, tokens its datasets'.
#include "evals/traced_run.h"

#include <fmt/format.h>

#include "base/error.h"

namespace reattend {
namespace {

BackendOptions device_of(const TracedModel& of, const TraceInfo& info) {
  BackendOptions out = {.device = of.device, .kv = info.kv_type};
  const std::string activations = info.attribute("activations");
  if (activations == "f32") {
    out.activations = Activations::f32;
  } else if (activations == "q8" || activations.empty()) {
    out.activations = Activations::q8;
  } else {
    fail({.where = info.path.string() + ": activations",
          .expected = "q8 or f32",
          .got = "\"" + activations + "\"",
          .remedy = "record the trace again"});
  }
  return out;
}

Model open_model(const TracedModel& of, const TraceInfo& info) {
  Model model = Model::open(of.path);
  check_is_of(info, model);
  return model;
}

CachedPrefill prefill_trace(const TracedModel& of, TraceReader& trace, const std::vector<Settings>& policies,
                            Backend& backend, const Model& model, const ProgressFn& progress, const Cancel& cancel) {
  const TraceInfo& info = trace.info();
  check_has_steps(info);
  std::vector<int32_t> prompt = trace.tokens();
  prompt.resize(static_cast<size_t>(info.n_prompt));
  return prefill_cached(
      backend, model, prompt,
      {.n_ctx = info.n_prompt + info.n_step,
       .needs = needs_of(policies, model.shape(), backend.kv, info.n_prompt, info.n_prompt + info.n_step),
       .progress = progress,
       .cancel = cancel},
      of.prompt_cache);
}

ReferenceRun run_full(TraceReader& trace, Backend& backend, const Model& model, const Prefilled& prefilled,
                      const ProgressFn& progress, const Cancel& cancel) {
  const TraceInfo& info = trace.info();
  const std::vector<int32_t> tokens = trace.tokens();
  const auto fed = std::span(tokens).subspan(static_cast<size_t>(info.n_prompt));
  return run_reference(backend, model, prefilled, info.n_step, follow(fed), progress, cancel);
}

}  // namespace

void check_is_of(const TraceInfo& info, const Model& model) {
  const std::string recorded = info.attribute("model_sha256");
  if (recorded.empty() || recorded == model.sha256()) return;
  fail({.where = info.path.string(),
        .expected = fmt::format("a trace of {}", model.path().string()),
        .got = fmt::format("one of another file ({}, SHA-256 {}...)", info.attribute("model"), recorded.substr(0, 12)),
        .remedy = "name the model it was recorded with by --model"});
}

std::shared_ptr<TracedDevice> open_device(const TracedModel& of, const TraceInfo& info, ThreadPool& pool) {
  auto device = std::make_shared<TracedDevice>(open_model(of, info), Backend());
  device->backend = make_backend(device_of(of, info), device->model, pool);
  return device;
}

bool serves(const TracedDevice& device, const TracedModel& of, const TraceInfo& info) {
  const BackendOptions wanted = device_of(of, info);
  return device.backend.kv == wanted.kv && device.backend.activations == wanted.activations;
}

TracedRun::TracedRun(const TracedModel& of, TraceReader& trace, const std::vector<Settings>& policies, ThreadPool& pool,
                     const ProgressFn& progress, const Cancel& cancel)
    : TracedRun(open_device(of, trace.info(), pool), of, trace, policies, progress, cancel) {}

TracedRun::TracedRun(std::shared_ptr<TracedDevice> device, const TracedModel& of, TraceReader& trace,
                     const std::vector<Settings>& policies, const ProgressFn& progress, const Cancel& cancel)
    : device_(std::move(device)),
      prefilled_(prefill_trace(of, trace, policies, backend(), model(), progress, cancel)),
      full_(run_full(trace, backend(), model(), prefilled_, progress, cancel)) {}

}  // namespace reattend
