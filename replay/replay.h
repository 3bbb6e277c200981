// Re-simulates a policy on a recorded run: same plans, same arithmetic, teacher-forced on the recorded queries and
// keys.
#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "base/progress.h"
#include "base/thread_pool.h"
#include "replay/cost/counted_work.h"
#include "replay/prepared.h"
#include "replay/source.h"

namespace reattend {

struct ReplayRequest {
  Settings settings;
  std::vector<int32_t> layers;  ///< which, in the order wanted; empty: all
  bool output_error = true;     ///< costs a pass over the values
  bool keep_sets = false;       ///< also return every attended set (tests, `case`-like export)
  bool from_maps = false;       ///< from the recorded maps alone: masses become intervals (replay/from_maps.h)
  bool estimates = false;       ///< also measure what estimates() look at (replay/estimates.h)
  bool output_norm = false;     ///< of that only what estimates from output errors need, which is much quicker
};

/// What was not attended to, beyond its mass; only with ReplayRequest::estimates or output_norm. Arrays are
/// [T][n_kv_head].
struct ReplayLosses {
  std::vector<float> largest;            ///< largest weight of the group-mean row that was lost
  std::vector<float> middle, of_middle;  ///< lost and all mass of positions beside sinks and recent ones
  std::vector<float> output_norm;        ///< [T][n_head] |o_full|; empty where output_error is
};

/// One layer; arrays are [T][n_kv_head] with index t - 1 unless said otherwise. SEMANTICS, "What is measured".
struct LayerReplay {
  int32_t layer = 0;
  std::vector<uint8_t> full;
  std::vector<float> cos;  ///< to the last simulated full step; nan where the policy has none
  std::vector<int32_t> positions;
  std::vector<float> recovered, oracle;
  std::vector<float> recovered_upper;      ///< from maps alone, where `recovered` is a lower bound; empty otherwise
  std::vector<float> overlap, jaccard;     ///< nan where the policy keeps no set that is the top of a row
  std::vector<float> output_error;         ///< [T][n_head]; empty if not asked for or no values
  std::vector<std::vector<int32_t>> sets;  ///< [T * n_kv_head] sorted; empty unless asked for
  ReplayLosses losses;
  CountedWork work;  ///< over all steps and KV heads
};

/// Means over steps and heads (of one layer, or of all); nan where there is nothing to take the mean of. The 95th
/// percentile is the smallest value that at least 95 % of steps and query heads do not exceed.
struct ReplaySummary {
  double recovered = 0, oracle = 0, normalised = 0, lost = 0, overlap = 0, jaccard = 0;
  double recovered_upper = 0;  ///< of `recovered`, which is a lower bound where only maps were looked at; nan otherwise
  double output_error_mean = 0, output_error_p95 = 0;
  double effective_stride = 0;                ///< infinity where no step was full
  double positions = 0;                       ///< per step and KV head
  double bytes_attend = 0, bytes_select = 0;  ///< per step
  double ms_per_token = 0;       ///< predicted from the trace's calibration; 0 for a single layer or without one
  double ms_per_token_full = 0;  ///< the same model's prediction for full attention
};

struct ReplayResult {
  Settings settings;
  std::vector<LayerReplay> layers;
  std::vector<ReplaySummary> per_layer;  ///< parallel to layers
  bool from_maps = false;                ///< masses are intervals, from recovered to recovered_upper
  ReplaySummary total;                   ///< ms_per_token only when all layers were asked for
};

/// Hears of every layer when it is done, in the order asked for, on the thread that called.
using LayerFn = std::function<void(const LayerReplay&, const ReplaySummary&)>;

/// Holds a trace's rows prepared for replay (lazily, by layer). One call at a time. Sees the steps that the trace had
/// when this was made.
class Replayer {
 public:
  /// The pool must outlive this. Layers beyond memory_limit bytes are prepared anew when their turn comes.
  Replayer(std::shared_ptr<ReplaySource> source, ThreadPool& pool, int64_t memory_limit = int64_t{2} << 30);
  Replayer(std::shared_ptr<TraceReader> trace, ThreadPool& pool, int64_t memory_limit = int64_t{2} << 30);
  ~Replayer();
  const TraceInfo& info() const;
  /// Of memory, held at present.
  int64_t bytes() const;
  /// Prepares what the request needs and runs it. Throws Cancelled, or Error when the trace lacks what the policy
  /// needs.
  ReplayResult run(const ReplayRequest& request, const ProgressFn& progress, const Cancel& cancel,
                   const LayerFn& on_layer = {});
  /// A layer with its rows prepared, for analyses. Good until the next call of any function here. Throws Cancelled, or
  /// Error for a layer that the trace does not have.
  const PreparedLayer& layer(int32_t layer, const Cancel& cancel);
  /// The group-mean full attention row of a step: [p + 1] (exact, from queries and keys).
  std::vector<float> row(int32_t layer, int32_t kv_head, int32_t t);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace reattend
