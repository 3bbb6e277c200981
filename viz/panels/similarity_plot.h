// The similarity of queries over the steps, a part of the timeline: due steps with what was decided and lost there, how
// similarities are spread, the threshold as a line to drag.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "viz/panels/gate_inset.h"
#include "viz/panels/similarity_spread.h"
#include "viz/session/due_steps.h"
#include "viz/session/session.h"
#include "viz/session/shared_view.h"

namespace reattend::viz {

class SimilarityPlot {
 public:
  /// Everything into view, once there is something.
  void fit() { fit_ = true; }
  void draw_controls();
  void draw(Session& session, SharedView& view, float height);

  /// Of the layer that is drawn.
  const DueSteps& due() const { return due_; }
  const std::vector<double>& deciding() const { return deciding_; }
  const SimilaritySpread& spread() const { return spread_; }

 private:
  void look(const Session& session);
  void fit_axis(const Session& session);
  void take_due(DueSteps due);
  void draw_due(const Session& session, const SharedView& view);
  void draw_words(const Session& session) const;
  std::string under_mouse(const Session& session) const;
  void drag_threshold(Session& session, SharedView& view);
  double snapped(double threshold) const;

  GateInset gate_;
  Limits shown_;  ///< of the y axis
  bool fit_ = true, over_plot_ = false;
  bool dragging_ = false;
  int32_t layer_ = -1;  ///< that the axis was fitted to

  /// What is drawn, of the newest replay of the setting under trial.
  DueSteps due_;
  SimilaritySpread spread_;
  int32_t due_head_ = -1;                      ///< the KV head that due_of_head_ is of; -1: to be found
  std::vector<DueStep> due_of_head_;           ///< by step, those that have a similarity
  std::vector<double> deciding_;               ///< thresholds at which a decision changes
  bool or_equal_ = false;                      ///< a similarity that equals the threshold stays
  std::string why_none_;                       ///< why there are no similarities
  int32_t due_layer_ = -1;                     ///< whose due steps these are
  std::shared_ptr<const AsyncAnswer> due_of_;  ///< the answer that was looked at last
};

}  // namespace reattend::viz
