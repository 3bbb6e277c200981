// What each position loses over some steps, in the selected layer and KV head.
#pragma once
#include <memory>
#include <optional>
#include <vector>

#include "replay/async.h"
#include "viz/session/provider.h"

namespace reattend::viz {

struct PositionLosses {
  Settings settings;
  int32_t layer = 0, kv_head = 0;
  Steps steps;
  std::vector<float> sums;  ///< [L + T] weight while the position was not attended to
  float largest = 0;        ///< of sums
};

class LossSums final : public Provider {
 public:
  LossSums(BackgroundTasks& tasks, int kind) : tasks_(tasks), kind_(kind) {}
  ~LossSums() override;
  void enter(std::shared_ptr<Replayer> replayer) override;
  void update(const Session& session) override;
  bool idle() const override;

  /// Over these steps, for the session's setting and selection, or what was found last until that is known; null until
  /// there is something. Whoever draws asks in every frame.
  std::shared_ptr<const PositionLosses> ask(Steps steps);

 private:
  using Found = std::shared_ptr<const PositionLosses>;
  BackgroundTasks& tasks_;
  const int kind_;
  std::shared_ptr<Replayer> replayer_;  ///< the queue's
  std::optional<PositionLosses> job_;   ///< what was asked of the queue last, without sums
  Found losses_;
  std::shared_ptr<Found> found_ = std::make_shared<Found>();  ///< guarded by the queue's lock; shared with its tasks
  Steps wanted_;
  bool asked_ = false;
};

}  // namespace reattend::viz
