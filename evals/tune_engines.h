// The engine on the traces that are tuned on or held out: a prefilled prompt each, kept while they fit into memory.
#pragma once
#include <memory>
#include <vector>

#include "evals/setting_scorer.h"
#include "evals/traced_run.h"
#include "tune/tune.h"

namespace reattend {

class TuneEngines {
 public:
  /// `traces`: all that will be asked for; `policies`: all that may be measured. What is passed by reference must
  /// outlive this. Opens the model at once, so that one that does not fit is said before hours of sweeping.
  TuneEngines(TracedModel model, const std::vector<std::shared_ptr<TraceReader>>& traces,
              std::vector<Settings> policies, ThreadPool& pool, const ProgressFn& progress, const Cancel& cancel);

  /// Prefills the trace's prompt where that is not at hand. A MeasureFn: later calls add rounds of timing.
  Score measure(const Settings& settings, size_t trace);

 private:
  /// A prefilled prompt, and what was measured on it.
  struct Bench {
    Bench(const std::shared_ptr<TracedDevice>& device, const TracedModel& of, TraceReader& trace,
          const std::vector<Settings>& policies, const ProgressFn& progress, const Cancel& cancel);
    TracedRun run;
    SettingScorer scorer;
    int64_t bytes = 0;  ///< of memory
  };
  Bench& bench_of(size_t trace);
  TracedModel model_of(size_t trace) const;

  TracedModel model_;
  const std::vector<std::shared_ptr<TraceReader>>& traces_;
  std::vector<Settings> policies_;
  ThreadPool& pool_;
  const ProgressFn& progress_;
  const Cancel& cancel_;
  std::vector<std::unique_ptr<Bench>> benches_;  ///< parallel to traces_; nothing where none is held
  std::shared_ptr<TracedDevice> device_;         ///< the newest
  int64_t bytes_ = 0;                            ///< of the prompts held
};

}  // namespace reattend
