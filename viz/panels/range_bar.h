// What the marked range of steps says of the selected layer and head, and what can be done with it.
#pragma once
#include <string>

#include "viz/session/session.h"
#include "viz/session/shared_view.h"
#include "viz/session/step_figures.h"

namespace reattend::viz {

/// The range's figures of the session's selection; null where nothing is marked, or until something is known.
std::shared_ptr<const RangePage> range_figures(const Session& session, const SharedView& view);
/// What a layer loses over its steps, of all KV heads.
const Spread& lost_in_range(const RangePage& page, int32_t layer);
/// "steps 100 to 140".
std::string range_name(const Steps& range);
/// A figure of a measure, as tables have it: "0.9123", of positions "96.5"; a dash where there is none.
std::string figure_text(StepMeasure measure, double figure);
/// The axis shows the range alone.
void zoom_to_range(const TraceInfo& info, SharedView& view);

/// The range's figures of the selected layer over its heads, and of all layers; nothing where none is marked.
void draw_range_table(const Session& session, const SharedView& view);

class RangeBar {
 public:
  /// Draws nothing where no range is marked.
  void draw(Session& session, SharedView& view);

 private:
  void draw_save(Session& session, const SharedView& view);

  std::string path_;      ///< to save to
  std::string proposed_;  ///< what it was before somebody typed
};

}  // namespace reattend::viz
