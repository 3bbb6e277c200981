// A tour of five questions: each points at a pane and goes on when the user has done there what it asks for.
#pragma once
#include <cstdint>
#include <string>

#include <imgui.h>

#include "policies/settings.h"
#include "viz/session/session.h"
#include "viz/session/shared_view.h"

namespace reattend::viz {

class Coach {
 public:
  void start() { begin(0); }
  bool running() const { return step_ >= 0; }
  /// 0 .. 4, 5: all done; -1 while it is not running.
  int step() const { return step_; }
  /// The panel that the step points at, in the first frame of the step; empty after that.
  std::string panel_to_show() const;
  /// With an open trace, after the panels.
  void draw(const Session& session, const SharedView& view);

 private:
  void begin(int step);
  bool done(const Session& session, const SharedView& view) const;
  /// An outline around the step's panel, and the place of the window that is begun next: beside it.
  void point_at_panel(const SharedView& view);

  int step_ = -1;
  bool placed_ = false;  ///< beside the step's panel
  bool noted_ = false;   ///< what follows is of the beginning of this step
  int32_t layer_ = 0;
  uint32_t n_saved_ = 0;
  ImVec2 mouse_;
  Settings settings_;
};

}  // namespace reattend::viz
