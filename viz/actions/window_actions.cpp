// Actions of the window as a whole: key sheet, palette, the list of actions, the end.
#include "viz/actions/actions.h"
#include "viz/actions/state.h"
#include "viz/actions/workbench.h"

namespace reattend::viz {
namespace {

constexpr const char* kGroup = "window";

nlohmann::json list_of(const Actions& actions) {
  nlohmann::json out = nlohmann::json::array();
  for (const Action& each : actions.all()) {
    out.push_back({{"action", each.name}, {"title", each.title}, {"usage", usage_of(each)}});
  }
  return out;
}

}  // namespace

void add_window_actions(Actions& actions) {
  actions.add({.name = "keys.show",
               .title = "keys and what they do",
               .group = kGroup,
               .run = does([](Workbench& bench) { bench.keys_shown = !bench.keys_shown; }),
               .keys = {{"?"}, {"F1"}},
               .menu = "Help"});
  actions.add({.name = "tour.start",
               .title = "a tour in five steps",
               .group = kGroup,
               .run = does([](Workbench& bench) { bench.touring = true; }),
               .menu = "Help"});
  actions.add({.name = "palette.show",
               .title = "find an action, a layer, a step or a token",
               .group = kGroup,
               .run = does([](Workbench& bench) { bench.palette_shown = !bench.palette_shown; }),
               .keys = {{"Ctrl+K"}, {"Ctrl+Shift+P"}},
               .menu = "Help"});
  actions.add({.name = "clear",
               .title = "clear the selected position and the marked range, close the key sheet",
               .group = kGroup,
               .run = does([](Workbench& bench) {
                 bench.keys_shown = false;
                 bench.view.range.reset();
                 bench.session.select_position(-1);
               }),
               .keys = {{"Esc"}}});
  actions.add({.name = "actions",
               .title = "list all actions",
               .group = kGroup,
               .run = [&actions](Workbench&, const Arguments&) { return Outcome{.result = list_of(actions)}; }});
  actions.add({.name = "state",
               .title = "what is shown and known, as JSON",
               .group = kGroup,
               .run = [](Workbench& bench, const Arguments&) { return Outcome{.result = state_of(bench)}; }});
  actions.add({.name = "quit",
               .title = "close the window",
               .group = kGroup,
               .run = does([](Workbench& bench) { bench.closing = true; }),
               .menu = "Trace"});
}

}  // namespace reattend::viz
