// How concentrated a layer's attention is and how a kept set ages: mass by budget, and overlap by age.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "policies/settings.h"
#include "replay/analysis/overlap.h"
#include "viz/session/provider.h"

namespace reattend::viz {

/// Over a layer's steps and KV heads, as `reattend analyse --what coverage,overlap` has them.
struct LayerCurves {
  int32_t layer = 0;
  int32_t budget = 0;            ///< K of the sets that age
  std::vector<int32_t> budgets;  ///< ascending
  std::vector<Spread> mass;      ///< [budgets] of the K highest weights of a row
  std::vector<int32_t> lags;     ///< ascending
  std::vector<AgedMeans> aged;   ///< [lags]
};

/// Curves of the selected layer, while a panel asks for them.
class Curves final : public Provider {
 public:
  Curves(BackgroundTasks& tasks, int kind) : tasks_(tasks), kind_(kind) {}
  ~Curves() override;
  void enter(std::shared_ptr<Replayer> replayer) override;
  void update(const Session& session) override;
  bool idle() const override;

  /// Of the selected layer, with sets as recycled attention of the setting's K, `reduce` and `pool` keeps them; of what
  /// was asked before until that is known, null until there is one. Whoever draws asks in every frame.
  const LayerCurves* ask();

 private:
  /// What curves depend on.
  struct Question {
    int32_t layer = -1, budget = 0, pool = 0;
    Reduce reduce = Reduce::max;
    bool operator==(const Question&) const = default;
  };
  static LayerCurves answer(Replayer& replayer, const Question& question, const Cancel& cancel);
  using Found = std::shared_ptr<const LayerCurves>;

  BackgroundTasks& tasks_;
  const int kind_;
  std::shared_ptr<Replayer> replayer_;  ///< the queue's
  Question question_;                   ///< the newest that was posted
  Found curves_;
  std::shared_ptr<Found> found_ = std::make_shared<Found>();  ///< guarded by tasks_; shared with its tasks
  bool asked_ = false;                                        ///< since the last update
};

}  // namespace reattend::viz
