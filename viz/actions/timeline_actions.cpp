// Actions on the axis of steps: playing, ranges, following a trace that is being recorded.
#include <fmt/format.h>

#include "base/error.h"
#include "viz/actions/actions.h"
#include "viz/actions/workbench.h"
#include "viz/panels/range_bar.h"
#include "viz/panels/step_axis.h"
#include "viz/session/slice_saver.h"

namespace reattend::viz {
namespace {

constexpr double kMost = std::numeric_limits<int32_t>::max();

Argument step(const char* name, const char* help) {
  return {.name = name, .type = ArgumentType::whole, .help = help, .low = 1, .high = kMost};
}

/// Throws Error where there is no trace with steps.
const TraceInfo& open_trace(const Workbench& bench, const char* action) {
  const OpenedTrace* const trace = bench.session.trace();
  if (trace != nullptr && trace->info.n_step > 0) return trace->info;
  fail_usage({.where = action, .expected = "a trace with decode steps", .got = "none", .remedy = "open one"});
}

const Steps& marked(const Workbench& bench, const char* action) {
  if (bench.view.range) return *bench.view.range;
  fail_usage({.where = action, .expected = "a marked range of steps", .got = "none", .remedy = "call range.set first"});
}

void set_range(Workbench& bench, const Arguments& arguments) {
  const TraceInfo& info = open_trace(bench, "range.set");
  const int64_t first = arguments.whole("first"), last = arguments.whole("last");
  if (first > last || last > info.n_step) {
    fail_usage({.where = "range.set",
                .expected = fmt::format("first \u2264 last \u2264 {}", info.n_step),
                .got = fmt::format("{} and {}", first, last)});
  }
  bench.view.range = Steps{static_cast<int32_t>(first), static_cast<int32_t>(last)};
}

/// Whoever waits hears how it ended.
Outcome save_range(Workbench& bench, const Arguments& arguments) {
  const Steps& range = marked(bench, "range.save");
  const TraceSlice slice = {.first_step = range.first, .last_step = range.last, .layers = {}};
  const std::filesystem::path target =
      arguments.has("file") ? std::filesystem::path(arguments.text("file")) : slice_path(bench.session.path(), range);
  bench.session.data<SliceSaver>().save(bench.session.path(), target, slice, arguments.flag("force", false),
                                        bench.session.pool());
  return {.later = [](Workbench& later) -> std::optional<nlohmann::json> {
    const SliceSaver& saver = later.session.data<SliceSaver>();
    if (saver.failed()) throw Error(saver.result());
    if (saver.saving() || !saver.idle()) return std::nullopt;
    if (saver.result().empty()) {
      fail({.where = "range.save",
            .expected = "a trace that is saved to the end",
            .got = "one that was given up",
            .remedy = "open no other trace meanwhile"});
    }
    return saver.result();
  }};
}

}  // namespace

void add_timeline_actions(Actions& actions) {
  constexpr const char* kGroup = "axis of steps";
  actions.add({.name = "play.toggle",
               .title = "play from step to step, or stop",
               .group = kGroup,
               .run = does([](Workbench& bench) { toggle_play(bench.session, bench.view); }),
               .keys = {{"Space"}}});
  actions.add({.name = "play.speed",
               .title = "how fast to play",
               .group = kGroup,
               .run = does([](Workbench& bench, const Arguments& arguments) {
                 bench.view.player.set_speed(arguments.number("steps"));
               }),
               .arguments = {{.name = "steps",
                              .type = ArgumentType::number,
                              .help = "a second",
                              .low = Player::kSlowest,
                              .high = Player::kFastest}}});
  actions.add({.name = "range.set",
               .title = "mark a range of steps",
               .group = kGroup,
               .run = does(set_range),
               .arguments = {step("first", "step"), step("last", "step, of the range too")}});
  actions.add({.name = "range.zoom",
               .title = "show the marked range alone",
               .group = kGroup,
               .run = does([](Workbench& bench) {
                 if (bench.session.trace() != nullptr) zoom_to_range(bench.session.trace()->info, bench.view);
               }),
               .keys = {{"Z"}}});
  actions.add({.name = "range.clear", .title = "mark no range", .group = kGroup, .run = does([](Workbench& bench) {
                                                                                   bench.view.range.reset();
                                                                                 })});
  actions.add(
      {.name = "range.save",
       .title = "save the marked range as a trace",
       .group = kGroup,
       .run = save_range,
       .arguments = {
           {.name = "file", .help = "without it: a name of its own beside the trace", .required = false},
           {.name = "force", .type = ArgumentType::flag, .help = "replaces an existing file", .required = false}}});
  Action follow = {
      .name = "trace.follow",
      .title = "follow a trace that is being recorded",
      .group = kGroup,
      .run = does([](Workbench& bench, const Arguments& arguments) {
        bench.view.follow = arguments.flag("on", !bench.view.follow);
      }),
      .arguments = {
          {.name = "on", .type = ArgumentType::flag, .help = "without it: the other way", .required = false}}};
  follow.checked = [](const Workbench& bench) { return bench.view.follow; };
  actions.add(std::move(follow));
}

}  // namespace reattend::viz
