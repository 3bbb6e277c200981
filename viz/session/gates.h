// What a gate would do under another threshold, and how well similarity tells steps that need a refresh.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "replay/analysis/gate.h"
#include "viz/session/due_steps.h"
#include "viz/session/provider.h"

namespace reattend::viz {

/// Counts of one layer under settings other than the session's: replays of that layer alone.
class GateCounts final : public Provider {
 public:
  GateCounts(BackgroundTasks& tasks, int kind) : tasks_(tasks), kind_(kind) {}
  void enter(std::shared_ptr<Replayer> replayer) override;
  void update(const Session& session) override;
  bool idle() const override;

  /// Nothing until it is known; the setting must fit the trace's model. The question asked last in a frame is answered.
  std::optional<GateCount> ask(const Settings& settings, int32_t layer);

 private:
  struct Known {
    Settings settings;
    int32_t layer = -1;
    GateCount count;
    bool is(const Settings& other, int32_t of) const { return layer == of && settings == other; }
  };
  BackgroundTasks& tasks_;
  const int kind_;
  std::shared_ptr<Replayer> replayer_;  ///< the queue's
  std::vector<Known> known_;            ///< the newest last
  std::optional<std::pair<Settings, int32_t>> wanted_, asked_;
  std::shared_ptr<std::optional<Known>> found_ = std::make_shared<std::optional<Known>>();  ///< guarded by tasks_
};

/// The gate as a detector, over cases S steps after a refresh: `reattend analyse --what gate` for the setting's S and
/// K.
struct GatePage {
  double rho = 0;  ///< a case is bad whose normalised mass is below
  int32_t layer = -1;
  GateCurve own, all;               ///< of the layer, and of one threshold for all layers
  double mean_own = 0;              ///< mean of the layers' own areas
  int32_t n_done = 0, n_layer = 0;  ///< layers in `all`, and that there are
};

class GatePages final : public Provider {
 public:
  GatePages(BackgroundTasks& tasks, int kind) : tasks_(tasks), kind_(kind) {}
  void enter(std::shared_ptr<Replayer> replayer) override;
  void update(const Session& session) override;
  bool idle() const override;

  /// Whoever draws asks in every frame. The newest page of the session's setting and layer, of another rho until this
  /// one is known; null until there is one.
  const GatePage* ask(double rho);

 private:
  struct Job;
  BackgroundTasks& tasks_;
  const int kind_;
  std::shared_ptr<Replayer> replayer_;  ///< the queue's
  std::shared_ptr<Job> job_;            ///< of one setting
  std::optional<double> wanted_;
  std::pair<double, int32_t> asked_{-1, -1};  ///< rho and layer
  std::shared_ptr<const GatePage> page_;
};

/// Why there is no GatePage of the setting; empty where there can be.
std::string why_no_gate_page(const Settings& settings);

}  // namespace reattend::viz
