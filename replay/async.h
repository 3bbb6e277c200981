// A replay for a thread that must not wait: asked at any time, answered layer by layer, the newest request first.
#pragma once
#include <chrono>
#include <memory>
#include <vector>

#include "base/background.h"
#include "replay/head_means.h"
#include "replay/replay.h"

namespace reattend {

struct AsyncRequest {
  Settings settings;
  bool output_error = true;  ///< also, after everything else
  bool estimates = false;    ///< with those also what estimates from masses look at (ReplayRequest::estimates)
  bool from_maps = false;    ///< see ReplayRequest
};

/// What is looked at: a layer, which is answered first, and the attended sets of one of its KV heads at some steps.
struct LookedAt {
  int32_t layer = -1, kv_head = 0;  ///< no layer: none is looked at
  Steps steps;
  bool operator==(const LookedAt&) const = default;
};

/// What has been found for the newest request, which grows until it is whole. Layers that are not replayed yet under
/// its settings are null: nothing of an older request is mixed in.
struct AsyncAnswer {
  uint64_t ticket = 0;
  Settings settings;
  std::vector<std::shared_ptr<const LayerReplay>> layers;  ///< [n_layer] without sets
  std::vector<std::shared_ptr<const HeadMeans>> means;     ///< [n_layer] of those
  std::vector<ReplaySummary> per_layer;                    ///< [n_layer]
  ReplaySummary total;                                     ///< once has_masses
  int32_t n_done = 0;                                      ///< layers that are there
  bool has_masses = false;                                 ///< all layers are there
  bool has_errors = false;  ///< with output errors and their norms, or what estimates look at, as far as asked for
  LookedAt sets_of;         ///< whose sets these are
  std::shared_ptr<const std::vector<PositionRuns>> sets;  ///< [sets_of.steps]
  std::shared_ptr<const PositionMasks> masks;             ///< the same as bits

  /// The attended set of a step of a layer and KV head; null where it is not known.
  const PositionRuns* set_of(int32_t layer, int32_t kv_head, int32_t t) const {
    const bool fits = sets && sets_of.layer == layer && sets_of.kv_head == kv_head && sets_of.steps.holds(t);
    return fits ? &(*sets)[static_cast<size_t>(t - sets_of.steps.first)] : nullptr;
  }
};

/// All functions return at once and may be called from one thread, that of a user interface.
class AsyncReplayer {
 public:
  /// The most urgent kinds of task first; several users of a queue share it by kinds of their own.
  struct Kinds {
    int looked_at = 0, masses = 1, layer_errors = 2, errors = 3;
  };
  /// From now on the replayer is the queue's: nobody else calls it but in tasks of the queue, which must outlive this.
  AsyncReplayer(BackgroundTasks& tasks, const Kinds& kinds, std::shared_ptr<Replayer> replayer);
  /// Drops what was asked.
  ~AsyncReplayer();
  AsyncReplayer(const AsyncReplayer&) = delete;
  AsyncReplayer& operator=(const AsyncReplayer&) = delete;

  /// Drops what was asked before, but for the masses of all layers where they have been under way for less than
  /// kPatience: they are found, and the newest request's after them, so that who drags a slider sees all layers follow.
  /// Returns the answer's ticket.
  uint64_t submit(const AsyncRequest& request);
  /// Where all layers take longer, who drags sees single ones follow, of the newest setting.
  static constexpr std::chrono::milliseconds kPatience{1000};
  /// Meanwhile the layer that is looked at, which interrupts them, leaves them alone for so long after each answer.
  static constexpr std::chrono::milliseconds kLayerPause{8};
  /// Asks for this layer and its sets before all else, now and with every request to come.
  void look_at(const LookedAt& what);
  /// Drops the request, and keeps what has been found.
  void cancel();
  /// The answer as far as it is; a null pointer where nothing is new since the last time. To be called whenever there
  /// may be something new.
  std::shared_ptr<const AsyncAnswer> take();
  /// The same of the request before, whose masses are still being found or were found last.
  std::shared_ptr<const AsyncAnswer> take_passing();
  /// Whether one of them would give something, or all layers are still to be asked for.
  bool has_news() const;

 private:
  /// Shared with tasks, which may end after this has gone; guarded by the queue's lock.
  struct Found {
    AsyncAnswer answer, passing;
    bool changed = false, passing_changed = false;
    /// Of the request with that ticket; null where it is neither.
    AsyncAnswer* of(uint64_t ticket);
  };
  /// What a task finds layer by layer; kept where it is interrupted and starts again.
  struct Pass {
    ReplayRequest request;  ///< its layers are those still to do
    std::vector<std::shared_ptr<const LayerReplay>> done;
  };
  bool wants_losses() const;
  bool layer_may_go() const;
  void look_for_end();
  void post_layer();
  void begin_all();
  void post_all(int kind, bool losses);
  void post(int kind, const ReplayRequest& request, bool whole);

  BackgroundTasks& tasks_;
  const Kinds kinds_;
  const std::shared_ptr<Replayer> replayer_;  ///< the queue's
  const TraceInfo info_;
  AsyncRequest request_;
  LookedAt looked_at_;
  uint64_t ticket_ = 0, all_ticket_ = 0;  ///< of the newest request; of the one whose masses were asked for last
  std::chrono::steady_clock::time_point all_began_;
  std::chrono::steady_clock::time_point layer_ended_;
  bool layer_runs_ = false;   ///< it was asked for, and had not ended when that was looked at last
  bool waits_ = false;        ///< the newest request's masses are not asked for yet
  bool layer_waits_ = false;  ///< nor is the layer that is looked at
  std::shared_ptr<Found> found_;
};

}  // namespace reattend
