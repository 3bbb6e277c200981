// What the command palette offers for what was typed: actions, the choices of their arguments, tokens of the text.
#pragma once
#include <string>
#include <vector>

#include "viz/actions/actions.h"

namespace reattend::viz {

struct Candidate {
  const Action* action = nullptr;
  std::string title;    ///< "show panel: Tune"
  std::string line;     ///< of the call, as Actions::parse() takes it
  std::string problem;  ///< why the line is no call yet; empty if it is one
};

/// The best first; all actions in the table's order where nothing was typed. Numbers and name=value behind the words
/// are arguments: "layer 12", "setting.set K=128".
std::vector<Candidate> candidates(const Actions& actions, const Workbench& bench, const std::string& typed);

}  // namespace reattend::viz
