// The command palette: type a few letters of an action, a layer, a step or a token, and Enter does it.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "viz/actions/candidates.h"
#include "viz/actions/keys.h"
#include "viz/actions/workbench.h"

namespace reattend::viz {

class CommandPalette {
 public:
  /// While Workbench::palette_shown; what is chosen, which closes it.
  std::optional<Call> draw(const Actions& actions, const Keys& keys, Workbench& bench);

 private:
  void draw_list(const Keys& keys, const SharedView& view, bool moved);
  std::optional<Call> choose(const Actions& actions, Workbench& bench, const Candidate& chosen);

  bool shown_ = false;   ///< in the last frame
  bool to_end_ = false;  ///< the caret belongs behind what was put into the field
  std::string typed_, looked_up_, error_;
  std::vector<Candidate> found_;  ///< for looked_up_
  size_t at_ = 0;                 ///< chosen of them
  bool clicked_ = false;
};

}  // namespace reattend::viz
