// The key sheet: every action by group, with its keys, and what the mouse does; drawn from the table of actions.
#pragma once
#include <string>

#include "viz/actions/keys.h"
#include "viz/actions/workbench.h"

namespace reattend::viz {

class KeySheet {
 public:
  /// While Workbench::keys_shown. `problem`: what is wrong with the user's own keys.
  void draw(const Actions& actions, const Keys& keys, Workbench& bench, const std::string& problem);

 private:
  std::string search_;
};

}  // namespace reattend::viz
