// Actions that move the selection: steps, layers, KV heads, positions.
#include "viz/actions/actions.h"
#include "viz/actions/workbench.h"

namespace reattend::viz {
namespace {

constexpr double kMost = std::numeric_limits<int32_t>::max();

Action move(const char* name, const char* title, const char* group, const char* chord, void (*to)(Session&)) {
  return {.name = name,
          .title = title,
          .group = group,
          .run = does([to](Workbench& bench) { to(bench.session); }),
          .keys = {{chord}},
          .repeats = true};
}

/// To the place that the argument names.
Action go(const char* name, const char* title, const char* group, const Argument& argument,
          void (Session::*select)(int32_t)) {
  return {.name = name,
          .title = title,
          .group = group,
          .run = does([select, key = argument.name](Workbench& bench, const Arguments& arguments) {
            (bench.session.*select)(static_cast<int32_t>(arguments.whole(key)));
          }),
          .arguments = {argument}};
}

Argument place(const char* name, const char* help, double low) {
  return {.name = name, .type = ArgumentType::whole, .help = help, .low = low, .high = kMost};
}

}  // namespace

void add_step_actions(Actions& actions) {
  constexpr const char* kSteps = "steps";
  actions.add(move("step.previous", "previous step", kSteps, "Left",
                   [](Session& session) { session.select_step(session.selection().step - 1); }));
  actions.add(move("step.next", "next step", kSteps, "Right",
                   [](Session& session) { session.select_step(session.selection().step + 1); }));
  actions.add(move("step.first", "first step", kSteps, "Home", [](Session& session) { session.select_step(1); }));
  actions.add(move("step.last", "last step", kSteps, "End", [](Session& session) {
    if (session.trace() != nullptr) session.select_step(session.trace()->info.n_step);
  }));
  actions.add(move("step.previous_full", "previous full step", kSteps, ",",
                   [](Session& session) { session.go_to_full_step(-1); }));
  actions.add(
      move("step.next_full", "next full step", kSteps, ".", [](Session& session) { session.go_to_full_step(1); }));
  actions.add(go("step.set", "go to step", kSteps, place("step", "1 and up, the last where it is beyond", 1),
                 &Session::select_step));
  constexpr const char* kLayers = "layers and heads";
  actions.add(move("layer.previous", "previous layer", kLayers, "[",
                   [](Session& session) { session.select_layer(session.selection().layer - 1); }));
  actions.add(move("layer.next", "next layer", kLayers, "]",
                   [](Session& session) { session.select_layer(session.selection().layer + 1); }));
  actions.add(go("layer.set", "go to layer", kLayers, place("layer", "0 and up, the nearest that is stored", 0),
                 &Session::select_layer));
  actions.add(move("head.previous", "previous KV head", kLayers, "Up",
                   [](Session& session) { session.select_kv_head(session.selection().kv_head - 1); }));
  actions.add(move("head.next", "next KV head", kLayers, "Down",
                   [](Session& session) { session.select_kv_head(session.selection().kv_head + 1); }));
  actions.add(go("head.set", "go to KV head", kLayers, place("head", "0 and up, of keys and values", 0),
                 &Session::select_kv_head));
  constexpr const char* kPositions = "positions";
  actions.add(go("position.set", "select position", kPositions, place("position", "0 and up; -1 for none", -1),
                 &Session::select_position));
}

}  // namespace reattend::viz
