// Model and types come from the trace's header, tokens from its datasets.
#include "cli/commands/traced_run.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/sha256.h"
#include "cli/options/model_options.h"

namespace reattend::cli {
namespace {

BackendOptions device_of(const EngineOptions& options, const TraceInfo& info) {
  ModelOptions model;
  model.device = options.device;
  model.kv = name_of(info.kv_type);
  if (const std::string activations = info.attribute("activations"); !activations.empty()) {
    model.activations = activations;
  }
  return model.backend();
}

/// The default model unless another was named; it must be the one that was recorded.
Model open_model(const EngineOptions& options, const TraceInfo& info) {
  Model model = Model::open(find_model(options.model.empty() ? std::string(kDefaultModel) : options.model));
  const std::string recorded = info.attribute("model_sha256");
  if (!recorded.empty() && recorded != model.sha256()) {
    fail(
        {.where = info.path.string(),
         .expected = fmt::format("a trace of {}", model.path().string()),
         .got = fmt::format("one of another file ({}, SHA-256 {}...)", info.attribute("model"), recorded.substr(0, 12)),
         .remedy = "name the model it was recorded with by --model"});
  }
  return model;
}

CachedPrefill prefill_trace(const EngineOptions& options, TraceReader& trace, const std::vector<Settings>& policies,
                            Backend& backend, const Model& model, const ProgressFn& progress, const Cancel& cancel) {
  const TraceInfo& info = trace.info();
  check_has_steps(info);
  std::vector<int32_t> prompt = trace.tokens();
  prompt.resize(static_cast<size_t>(info.n_prompt));
  return options.prompt_cache.prefill(backend, model, prompt,
                                      {.n_ctx = info.n_prompt + info.n_step,
                                       .needs = needs_of(policies, model.shape(), info.n_prompt),
                                       .progress = progress,
                                       .cancel = cancel});
}

ReferenceRun run_full(TraceReader& trace, Backend& backend, const Model& model, const Prefilled& prefilled,
                      const ProgressFn& progress, const Cancel& cancel) {
  const TraceInfo& info = trace.info();
  const std::vector<int32_t> tokens = trace.tokens();
  const auto fed = std::span(tokens).subspan(static_cast<size_t>(info.n_prompt));
  return run_reference(backend, model, prefilled, info.n_step, follow(fed), progress, cancel);
}

}  // namespace

void EngineOptions::add_to(CLI::App& app, const std::string& otherwise) {
  app.add_option("--model", model,
                 fmt::format("Model of the trace: a path, or a name in the model store [{}]", otherwise))
      ->type_name("FILE")
      ->group("Model");
  app.add_option("--device", device, devices_help())
      ->type_name("NAME")
      ->capture_default_str()
      ->group("Model");
}

std::shared_ptr<TracedDevice> open_device(const EngineOptions& options, const TraceInfo& info, ThreadPool& pool) {
  auto device = std::make_shared<TracedDevice>(open_model(options, info), Backend());
  device->backend = make_backend(device_of(options, info), device->model, pool);
  return device;
}

bool serves(const TracedDevice& device, const EngineOptions& options, const TraceInfo& info) {
  const BackendOptions wanted = device_of(options, info);
  return device.backend.kv == wanted.kv && device.backend.activations == wanted.activations;
}

TracedRun::TracedRun(const EngineOptions& options, TraceReader& trace, const std::vector<Settings>& policies,
                     ThreadPool& pool, const ProgressFn& progress, const Cancel& cancel)
    : TracedRun(open_device(options, trace.info(), pool), options, trace, policies, progress, cancel) {}

TracedRun::TracedRun(std::shared_ptr<TracedDevice> device, const EngineOptions& options, TraceReader& trace,
                     const std::vector<Settings>& policies, const ProgressFn& progress, const Cancel& cancel)
    : device_(std::move(device)),
      prefilled_(prefill_trace(options, trace, policies, backend(), model(), progress, cancel)),
      full_(run_full(trace, backend(), model(), prefilled_, progress, cancel)) {}

std::string fingerprint(TraceReader& trace) {
  const std::vector<int32_t> tokens = trace.tokens();
  return sha256(std::as_bytes(std::span(tokens))).substr(0, 16) + trace.info().attribute("model_sha256").substr(0, 16);
}

}  // namespace reattend::cli
