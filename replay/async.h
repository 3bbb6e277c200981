// A replay for a thread that must not wait: asked at any time, answered layer by layer, the newest request first.
#pragma once
#include <memory>
#include <vector>

#include "replay/errands.h"
#include "replay/replay.h"

namespace reattend {

struct AsyncRequest {
  Settings settings;
  int32_t first_layer = -1;  ///< the one that is looked at: answered first, with its sets; negative: none
  bool output_error = true;  ///< also, after everything else
  bool from_maps = false;    ///< see ReplayRequest
};

/// What has been found for the newest request, which grows until it is whole. Layers that are not replayed yet under
/// its settings are null: nothing of an older request is mixed in.
struct AsyncAnswer {
  uint64_t ticket = 0;
  Settings settings;
  std::vector<std::shared_ptr<const LayerReplay>> layers;  ///< [n_layer]
  std::vector<ReplaySummary> per_layer;                    ///< [n_layer]
  ReplaySummary total;                                     ///< once has_masses
  int32_t n_done = 0;                                      ///< layers that are there
  bool has_masses = false;                                 ///< all layers are there
  bool has_errors = false;  ///< with output errors, if those were asked for and can be had
};

/// All functions return at once and may be called from one thread, that of a user interface.
class AsyncReplayer {
 public:
  /// Takes the replayer over: it works on another thread from now on. `wake` is called from there when there is
  /// something new to take.
  AsyncReplayer(std::unique_ptr<Replayer> replayer, std::function<void()> wake);

  /// Drops what was asked before. Returns the answer's ticket.
  uint64_t submit(const AsyncRequest& request);
  /// Drops it, and keeps what has been found.
  void cancel();
  /// The answer as far as it is; a null pointer where nothing is new since the last time.
  std::shared_ptr<const AsyncAnswer> take();
  /// Why a request failed, since the last time.
  std::vector<std::string> take_failures();
  Errands::Activity activity() const { return errands_.activity(); }

 private:
  enum Kind { kFirst, kMasses, kErrors, kKinds };
  void post(Kind kind, const AsyncRequest& request, uint64_t ticket);
  /// Under the lock.
  void store(std::shared_ptr<LayerReplay> layer, const ReplaySummary& summary);

  std::unique_ptr<Replayer> replayer_;  ///< the other thread's
  const TraceInfo info_;
  uint64_t ticket_ = 0;
  AsyncAnswer answer_;    ///< guarded by errands_
  bool changed_ = false;  ///< likewise
  Errands errands_;       ///< last, so that it has ended before what it fills goes
};

}  // namespace reattend
