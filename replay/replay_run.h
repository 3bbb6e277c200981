// One request on its way through the layers of a trace, within the memory that it may use.
#pragma once
#include <memory>
#include <vector>

#include "replay/replay_state.h"

namespace reattend {

struct Listeners {
  const ProgressFn& progress;
  const Cancel& cancel;
  const LayerFn& on_layer;
  const PartFn& on_part;
};

/// All of this must outlive it.
class ReplayRun {
 public:
  ReplayRun(ReplayState& state, const Policy& policy, const ReplayRequest& request, const Listeners& listeners);
  /// Once.
  ReplayResult run();

 private:
  void report(const char* what, double done) const;
  void take(LayerReplay layer);
  size_t from_maps(size_t at);
  size_t from_keys(size_t at, size_t end);
  LayerReplay prepare_and_run(size_t at, int64_t limit);
  LayerReplay run_in_parts(const ReplayState::Job& job, const PreparedLayer::Need& need, size_t at, int64_t limit);
  int64_t drop_sets(Steps part, LayerReplay& out) const;
  int32_t last_of_part(const LayerPlans& plans, const PreparedLayer::Need& need, const PreparedLayer& prepared,
                       int32_t first, int64_t limit) const;
  [[noreturn]] void fail_small(int64_t bytes) const;
  PreparedLayer::Need need_of(const LayerPlans& plans) const;
  int64_t plan_bytes() const { return int64_t{info_.n_step} * int64_t{sizeof(Plan)}; }
  int64_t fixed_bytes() const;
  int64_t working_bytes(const LayerPlans& plans, Steps steps) const;

  ReplayState& state_;
  const TraceInfo& info_;
  const Policy& policy_;
  const ReplayRequest& request_;
  const Listeners to_;
  const std::vector<int32_t> layers_;
  std::vector<std::unique_ptr<LayerPlans>> plans_;  ///< [layers_]
  ReplayResult result_;
  int64_t set_bytes_ = 0;  ///< of the sets in result_
};

}  // namespace reattend
