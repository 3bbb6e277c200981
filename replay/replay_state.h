// What a replayer holds of a trace: its source, the layers that are prepared, and how one of them is replayed.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "policies/policy.h"
#include "replay/decisions.h"
#include "replay/layer_cache.h"
#include "replay/prepared_store.h"
#include "replay/replay.h"

namespace reattend {

struct ReplayState {
  std::shared_ptr<ReplaySource> source;
  TraceInfo info;
  ThreadPool& pool;
  int64_t all_memory, memory;  ///< what was given, and what of that is left to the replay
  int64_t aside = 0;           ///< what the caller holds
  LayerCache cache;
  std::shared_ptr<PreparedStore> store;  ///< of layers that exceed the memory; null: there is none

  /// Throws Error for a trace of no shape at all.
  ReplayState(std::shared_ptr<ReplaySource> from, ThreadPool& threads, int64_t most);

  RunShape shape() const { return info.run_shape(); }
  /// The caller holds so many bytes itself. Throws Error where nothing is left.
  void set_aside(int64_t bytes);
  /// `needed`: bytes that would do.
  [[noreturn]] void fail_memory(const std::string& what, int64_t needed) const;
  /// Throws Error for layers that the trace does not have, or that are asked for twice.
  std::vector<int32_t> layers_of(const ReplayRequest& request) const;
  /// Throws Error where the trace does not hold what the policy needs of the prompt.
  void check_needs(const Policy& policy, const Settings& settings) const;
  /// The layer, prepared or not; it may be that others go for it.
  PreparedLayer& read(int32_t index);
  PromptData prompt_data(const PromptNeeds& needs, int32_t index);

  /// A layer on its way through a request.
  struct Job {
    int32_t layer;
    PreparedLayer* prepared;
    const LayerPlans* plans;
    PromptData prompt;
  };
  Job make_job(int32_t index, PreparedLayer& prepared, const LayerPlans& plans);
  /// All steps at once, of a layer that is prepared.
  LayerReplay run_job(const Job& job, const ReplayRequest& request, const PartFn& on_part, ThreadPool& threads,
                      const Cancel& cancel) const;
  /// One job shares its work between the threads, several are shared between them. Of several that are cancelled, those
  /// before the first that was not done.
  std::vector<LayerReplay> run_jobs(const std::vector<Job>& jobs, const ReplayRequest& request, const PartFn& on_part,
                                    const Cancel& cancel);
  LayerReplay run_from_maps(const LayerPlans& plans, int32_t index, const Cancel& cancel) const;
};

}  // namespace reattend
