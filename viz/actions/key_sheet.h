// The key sheet: every action by group, with its keys, and what the mouse does; drawn from the table of actions.
#pragma once
#include <string>
#include <vector>

#include "viz/actions/keys.h"
#include "viz/actions/workbench.h"

namespace reattend::viz {

/// What the sheet says of one call.
struct KeyRow {
  std::string keys, title, name;
};
struct KeyGroup {
  std::string name;
  std::vector<KeyRow> rows;
};
/// Calls that have keys by the groups of their actions, and what the mouse does; of these what `search` is like. The
/// palette has the other actions.
std::vector<KeyGroup> key_groups(const Actions& actions, const Keys& keys, const std::string& search);

class KeySheet {
 public:
  /// While Workbench::keys_shown. `problem`: what is wrong with the user's own keys.
  void draw(const Actions& actions, const Keys& keys, Workbench& bench, const std::string& problem);

 private:
  std::string search_;
};

}  // namespace reattend::viz
