// A widget for each row of the parameter table: slider, choice or text, with its help as tooltip.
#pragma once
#include <map>
#include <string>

#include "policies/policy.h"
#include "viz/session/session.h"
#include "viz/session/shared_view.h"

namespace reattend::viz {

/// Draws every parameter that the session's policy takes, and applies what is changed.
class ParameterWidgets {
 public:
  void draw(Session& session, const SharedView& view);

 private:
  void draw_one(Session& session, const PolicyParameter& taken);
  bool edit(const Session& session, const Parameter& parameter, Value& value);
  bool edit_text(const Parameter& parameter, Value& value);

  std::map<std::string_view, std::string> texts_;  ///< parameters that are being edited as text
  std::string error_;                              ///< of the last text
};

}  // namespace reattend::viz
