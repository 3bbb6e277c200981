// The engine on a trace's tokens: the prompt prefilled once, full attention along the recorded steps, and any policy
// from forks of it.
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "engine/prompt_cache.h"
#include "evals/teacher_forced.h"
#include "traces/read/reader.h"

namespace reattend {

/// Where the model of a trace is and what runs it. Types of cache and activations are the trace's.
struct TracedModel {
  std::filesystem::path path;
  std::string device = "cpu";
  PromptCacheFile prompt_cache;
};

/// Throws Error for another model than the trace's.
void check_is_of(const TraceInfo& info, const Model& model);

/// A trace's model on a device, for one run or several.
struct TracedDevice {
  Model model;
  Backend backend;
};
/// Throws Error for another model than the trace's.
std::shared_ptr<TracedDevice> open_device(const TracedModel& of, const TraceInfo& info, ThreadPool& pool);
/// Whether a device that was opened for a trace of the same model has this one's types too.
bool serves(const TracedDevice& device, const TracedModel& of, const TraceInfo& info);

class TracedRun {
 public:
  /// Opens the model and passes the trace's prompt through it, so that all of `policies` can continue it; then full
  /// attention runs along the trace's steps. Throws Error for another model than the trace's, Cancelled.
  TracedRun(const TracedModel& of, TraceReader& trace, const std::vector<Settings>& policies, ThreadPool& pool,
            const ProgressFn& progress, const Cancel& cancel);
  /// The same on a device that was opened for a trace of this model and these types.
  TracedRun(std::shared_ptr<TracedDevice> device, const TracedModel& of, TraceReader& trace,
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

}  // namespace reattend
