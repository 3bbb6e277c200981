// The map of layers by steps, a part of the timeline: a measure of the replay, or one that the trace recorded.
#pragma once
#include <string>
#include <vector>

#include "traces/step_means.h"
#include "viz/render/heatmap.h"
#include "viz/session/session.h"
#include "viz/session/shared_view.h"

namespace reattend::viz {

class LayerMap {
 public:
  /// The list of measures to choose from.
  void draw_choice(const Session& session);
  /// A plot on the axis of steps; a click selects layer and step.
  void draw(Session& session, SharedView& view, float height);

 private:
  HeatMatrix shown_map(const Session& session);
  std::string measure_name(int measure) const;
  HeatColors shown_colors() const;
  void draw_cells(const Session& session, const HeatMatrix& matrix);
  /// Rows of layers on which no policy acts: not stripes, for there is nothing to be known.
  static void draw_windows(const TraceInfo& info);
  void point_at(Session& session, const HeatMatrix& matrix);

  HeatMap map_;
  int measure_ = static_cast<int>(LayerMeasure::lost_mass);  ///< from kLayerMeasures on: of recorded_
  std::vector<Measure> recorded_;                            ///< measures of the trace that have layers
  std::vector<float> recorded_map_;                          ///< [n_layer][T] of one of them; NaN: not measured
  float recorded_high_ = 1;                                  ///< the largest in it
  uint64_t recorded_trace_ = 0;                              ///< the trace that recorded_ is of
  int recorded_measure_ = -1;                                ///< the measure that recorded_map_ is of
};

}  // namespace reattend::viz
