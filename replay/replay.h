// Re-simulates a policy on a recorded run: same plans, same arithmetic, teacher-forced on the recorded queries and
// keys.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/progress.h"
#include "base/thread_pool.h"
#include "replay/cost/counted_work.h"
#include "replay/position_runs.h"
#include "replay/prepared.h"
#include "replay/source.h"

namespace reattend {

struct ReplayRequest {
  Settings settings;
  std::vector<int32_t> layers;       ///< which, in the order wanted; empty: all
  bool output_error = true;          ///< costs a pass over the values
  bool keep_sets = false;            ///< also return attended sets, T n_kv_head of them
  Steps set_steps = {1, INT32_MAX};  ///< of those only the ones of these steps, the others are empty
  int32_t set_kv_head = -1;          ///< and only of this KV head; negative: of all
  bool from_maps = false;            ///< from the recorded maps alone: masses become intervals (replay/from_maps.h)
  bool estimates = false;            ///< also measure what estimates() look at (replay/estimates.h)
  bool output_norm = false;          ///< of that only what estimates from output errors need, which is much quicker

  bool wants_set(int32_t t, int32_t kv_head) const {
    return keep_sets && set_steps.holds(t) && (set_kv_head < 0 || set_kv_head == kv_head);
  }
};

/// What was not attended to, beyond its mass; only with ReplayRequest::estimates or output_norm. Arrays are
/// [T][n_kv_head].
struct ReplayLosses {
  std::vector<float> largest;            ///< largest weight of the group-mean row that was lost
  std::vector<float> middle, of_middle;  ///< lost and all mass of positions beside sinks and recent ones
  std::vector<float> output_norm;        ///< [T][n_head] |o_full|; empty where output_error is
};

/// One layer; arrays are [T][n_kv_head], index t - 1, unless said otherwise. docs/semantics.md, "What is measured".
struct LayerReplay {
  int32_t layer = 0;
  std::vector<uint8_t> full;
  std::vector<float> cos;  ///< to the last simulated full step; nan where the policy has none
  std::vector<int32_t> positions;
  std::vector<float> recovered, oracle;
  std::vector<float> recovered_upper;   ///< from maps alone, where `recovered` is a lower bound; empty otherwise
  std::vector<float> overlap, jaccard;  ///< nan where the policy keeps no set that is the top of a row
  std::vector<float> output_error;      ///< [T][n_head]; empty if not asked for or no values
  std::vector<PositionRuns> sets;       ///< [T * n_kv_head]; empty unless asked for (no set has no position)
  ReplayLosses losses;
  CountedWork work;  ///< over all steps and KV heads
};

/// What a KV head did at a step.
enum class StepRole : uint8_t {
  partial,  ///< it went on with the kept set
  selects,  ///< it chose anew (LayerReplay::full), and attended to less than everything
  full,     ///< it attended to everything
};
/// Entry `at` of a layer's arrays, of the step of position p.
inline StepRole role_of(const LayerReplay& layer, size_t at, int32_t p) {
  if (layer.positions[at] == p + 1) return StepRole::full;
  return layer.full[at] != 0 ? StepRole::selects : StepRole::partial;
}

/// [T][n_kv_head] means over each KV head's `group` query heads of values [T][n_head]; empty where those are.
std::vector<float> mean_over_groups(const std::vector<float>& values, int32_t group);

/// What one layer's replay takes of memory without its sets, in bytes.
int64_t replay_bytes(const TraceInfo& info, const ReplayRequest& request);

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
  std::vector<std::string> assumed_rates;  ///< of the prediction; see traces/tune/cost.h
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
/// Hears of steps as they are done, in their order, while the layer is prepared of them and the sets of these steps are
/// there, whatever the request says of sets.
using PartFn = std::function<void(const PreparedLayer&, Steps, const LayerReplay&)>;

class PreparedStore;
struct Choice;
struct ReplayState;

/// A GB of the options that say how much a replay may hold, in bytes.
inline constexpr int64_t kGigabyte = int64_t{1} << 30;
/// What it may hold where nobody says otherwise: 30 layers of 3 KV heads with 512 steps that end at 8K take 1.97e9
/// bytes.
inline constexpr int64_t kReplayMemory = 2 * kGigabyte;

/// Holds a trace's rows prepared for replay (lazily, by layer). One call at a time. Sees the steps that the trace had
/// when this was made.
class Replayer {
 public:
  /// The pool must outlive this. `memory`, in bytes, holds prepared layers, what works on them and the result. Layers
  /// that do not fit beside each other are prepared anew when their turn comes; of one that does not fit alone, a part
  /// of the steps at a time. Results are the same bits.
  Replayer(std::shared_ptr<ReplaySource> source, ThreadPool& pool, int64_t memory = kReplayMemory);
  Replayer(std::shared_ptr<TraceReader> trace, ThreadPool& pool, int64_t memory = kReplayMemory);
  ~Replayer();
  const TraceInfo& info() const;
  /// Of memory, held at present by prepared layers.
  int64_t bytes() const;
  /// What it may hold.
  int64_t memory() const;
  /// Whether every layer that the trace stores is held: a replay of all prepares none anew.
  bool holds_all_layers() const;
  /// The caller holds so many bytes of that memory itself, and no longer what it said before. Throws Error where
  /// nothing is left.
  void set_aside(int64_t bytes);
  /// What was set aside last.
  int64_t aside() const;
  /// Layers that together exceed the memory are kept there from now on.
  void keep_prepared(std::shared_ptr<PreparedStore> store);
  /// Whether a layer is forgotten as soon as another is looked at: for whoever looks at each once.
  void keep_one_layer();
  /// Prepares what the request needs and runs it. Throws Cancelled, or Error when the trace lacks what the policy
  /// needs, or memory does not do for a single step.
  ReplayResult run(const ReplayRequest& request, const ProgressFn& progress, const Cancel& cancel,
                   const LayerFn& on_layer = {}, const PartFn& on_part = {});
  /// A layer for analyses, with its rows prepared where memory allows. Good until the next call of any function here.
  /// Throws Cancelled, or Error for a layer that the trace does not have.
  const PreparedLayer& layer(int32_t layer, const Cancel& cancel);
  /// The choice of a policy that a KV head attends with at a step, followed from the prompt on. Throws Cancelled, or
  /// Error as run() does.
  Choice choice(const Settings& settings, int32_t layer, int32_t kv_head, int32_t step, const Cancel& cancel);
  /// The group-mean full attention row of a step: [p + 1] (from queries and keys, within 1e-7).
  std::vector<float> row(int32_t layer, int32_t kv_head, int32_t t);
  /// The same of several steps: that of step t is written to to(t), which is called from the pool's threads.
  void rows(int32_t layer, int32_t kv_head, Steps steps, const std::function<float*(int32_t t)>& to,
            const Cancel& cancel);

 private:
  std::unique_ptr<ReplayState> state_;
};

}  // namespace reattend
