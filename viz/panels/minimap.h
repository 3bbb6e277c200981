// The whole trace in a strip: the mass lost at each step where it is most, and the steps in view as a window to drag.
#pragma once
#include <memory>
#include <vector>

#include "viz/session/session.h"
#include "viz/session/shared_view.h"
#include "viz/session/step_figures.h"

namespace reattend::viz {

/// What of the window is held.
enum class WindowGrip : uint8_t { none, low, high, whole };

/// Where the window is when what is held of it has been drawn by `delta` steps; it stays within `all` and is at least
/// `least` wide.
Limits drag_window(Limits window, WindowGrip grip, double delta, Limits all, double least);

class Minimap {
 public:
  void draw(Session& session, SharedView& view, float height);

 private:
  /// The mass lost at each step of a trace, on the open trace's axis.
  struct Strip {
    std::shared_ptr<const StepBands> shown;
    std::vector<float> columns;  ///< most lost mass under each pixel; nan: unknown, or no such step
    void draw(const SharedView& view, const std::shared_ptr<const StepBands>& bands, int64_t n_step, ImVec2 corner,
              ImVec2 size);
  };
  void drag(const TraceInfo& info, SharedView& view, ImVec2 corner, ImVec2 size);

  WindowGrip grip_ = WindowGrip::none;
  Limits begun_;         ///< the window when it was taken hold of
  double begun_at_ = 0;  ///< and the step under the mouse
  Strip trial_, baseline_;
};

}  // namespace reattend::viz
