// The engine on a trace's tokens: the prompt prefilled once, full attention along the recorded steps, and any policy
// from forks of it. `study`, `verify` and `tune --model` share it.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "cli/options/prompt_cache_option.h"
#include "engine/text/tokenizer.h"
#include "evals/teacher_forced.h"
#include "traces/read/reader.h"

namespace reattend::cli {

/// The model a trace was recorded with, on a device. Types of cache and activations are the trace's.
struct EngineOptions {
  std::string model;  ///< empty: the default model
  std::string device = "cpu";
  PromptCacheOption prompt_cache;

  /// --model and --device; `otherwise`: what happens without --model.
  void add_to(CLI::App& app, const std::string& otherwise = "the default model");
};

/// A trace's model on a device, for one run or several.
struct TracedDevice {
  Model model;
  Backend backend;
};
/// Throws Error for another model than the trace's.
std::shared_ptr<TracedDevice> open_device(const EngineOptions& options, const TraceInfo& info, ThreadPool& pool);
/// Whether a device that was opened for a trace of the same model has this one's types too.
bool serves(const TracedDevice& device, const EngineOptions& options, const TraceInfo& info);

class TracedRun {
 public:
  /// Opens the model and passes the trace's prompt through it, so that all of `policies` can continue it; then full
  /// attention runs along the trace's steps. Throws Error for another model than the trace's, Cancelled.
  TracedRun(const EngineOptions& options, TraceReader& trace, const std::vector<Settings>& policies, ThreadPool& pool,
            const ProgressFn& progress, const Cancel& cancel);
  /// The same on a device that was opened for a trace of this model and these types.
  TracedRun(std::shared_ptr<TracedDevice> device, const EngineOptions& options, TraceReader& trace,
            const std::vector<Settings>& policies, const ProgressFn& progress, const Cancel& cancel);

  Backend& backend() { return device_->backend; }
  const Model& model() const { return device_->model; }
  const Prefilled& prefilled() const { return prefilled_; }
  const ReferenceRun& full() const { return full_; }

 private:
  std::shared_ptr<TracedDevice> device_;
  CachedPrefill prefilled_;
  ReferenceRun full_;
};

/// Hex digest of the trace's tokens and its model, for telling traces apart.
std::string fingerprint(TraceReader& trace);

}  // namespace reattend::cli
