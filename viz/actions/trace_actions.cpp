// Actions on traces.
#include "base/error.h"
#include "viz/actions/actions.h"
#include "viz/actions/state.h"
#include "viz/actions/workbench.h"
#include "viz/session/state_keeping.h"

namespace reattend::viz {
namespace {

/// Whoever waits for the answer hears of a failure instead of the dialog that a person would get.
Outcome open(Workbench& bench, const Arguments& arguments) {
  bench.open(arguments.text("file"));
  return {.later = [](Workbench& later) -> std::optional<nlohmann::json> {
    Session& session = later.session;
    const std::string error = session.open_error() + later.files.error();
    session.clear_open_error(), later.files.clear_error();
    if (!error.empty()) throw Error(error);
    return is_opening(later) ? std::nullopt : std::optional<nlohmann::json>(nullptr);
  }};
}

}  // namespace

void add_trace_actions(Actions& actions) {
  actions.add({.name = "trace.open",
               .title = "open a trace or a settings file",
               .group = "trace",
               .run = open,
               .arguments = {{.name = "file", .help = "made by `reattend record`, `reattend tune` or the window"}}});
  actions.add({.name = "trace.choose",
               .title = "open \u2026",
               .group = "trace",
               .run = does([](Workbench& bench) { bench.choosing = true; }),
               .keys = {{"Ctrl+O"}},
               .menu = "Trace"});
  actions.add({.name = "trace.close",
               .title = "close the trace",
               .group = "trace",
               .run = does([](Workbench& bench) {
                 save_project(bench.session, bench.view);
                 bench.session.close();
               }),
               .keys = {{"Ctrl+W"}},
               .menu = "Trace"});
}

}  // namespace reattend::viz
