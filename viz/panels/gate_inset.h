// How well similarity tells the steps that lose more than a share: ROC curves of a layer and of all, and the best
// thresholds to take.
#pragma once
#include <optional>

#include "viz/session/gates.h"
#include "viz/session/session.h"
#include "viz/session/shared_view.h"

namespace reattend::viz {

/// A threshold for the selected layer alone, or one for all; the gate decides from then on.
Settings with_threshold(const Settings& settings, double threshold, std::optional<int32_t> layer, int32_t n_layer);

class GateInset {
 public:
  bool shown = false;
  /// Over the plot that has just been drawn, whose area this is.
  void draw(Session& session, const SharedView& view, ImVec2 corner, ImVec2 size);

 private:
  void draw_texts(Session& session, const GatePage& page);

  float loss_ = 0.1F;  ///< of the mass that as many positions could hold: what counts as bad
};

}  // namespace reattend::viz
