// The strip over all panes: what the setting under trial is predicted to cost and to harm, and the bounds for both.
#pragma once
#include <string>

#include <imgui.h>

#include "viz/session/session.h"
#include "viz/session/shared_view.h"

namespace reattend::viz {

class GoalStrip {
 public:
  void draw(Session& session, const SharedView& view);

 private:
  void draw_text(const std::string& text, const std::string& help, const ImVec4& color);
  void draw_bounds(Session& session, const SharedView& view);
  bool edit(const char* label, double& value);
  /// Puts the next piece, so wide, behind the last one if it fits, else on a new line.
  void place(float width);

  float right_ = 0;  ///< end of the last piece
  int n_line_ = 1;   ///< that the last frame took
  int line_ = 1;
  std::string error_;  ///< of the last bound that was typed
};

}  // namespace reattend::viz
