// Actions on traces.
#include "base/error.h"
#include "viz/actions/actions.h"
#include "viz/actions/workbench.h"

namespace reattend::viz {
namespace {

/// Whoever waits for the answer hears of a failure instead of the dialog that a person would get.
Outcome open(Workbench& bench, const Arguments& arguments) {
  const uint64_t before = bench.session.trace_version();
  bench.open(arguments.text("file"));
  return {.later = [before](Workbench& later) -> std::optional<nlohmann::json> {
    Session& session = later.session;
    if (const std::string error = session.open_error(); !error.empty()) {
      session.clear_open_error();
      throw Error(error);
    }
    return session.trace_version() != before ? std::optional<nlohmann::json>(nullptr) : std::nullopt;
  }};
}

}  // namespace

void add_trace_actions(Actions& actions) {
  actions.add({.name = "trace.open",
               .title = "open a trace",
               .group = "trace",
               .run = open,
               .arguments = {{.name = "file", .help = "made by `reattend record`"}}});
}

}  // namespace reattend::viz
