// The list of what fills the table, and how a call is looked up and run.
#include "viz/actions/actions.h"

#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "viz/actions/fuzzy.h"

namespace reattend::viz {
namespace {

constexpr void (*kAdd[])(Actions&) = {add_step_actions,   add_timeline_actions, add_view_actions, add_setting_actions,
                                      add_trial_actions,  add_trace_actions,    add_text_actions, add_picture_actions,
                                      add_export_actions, add_engine_actions,   add_wait_actions, add_window_actions,
                                      add_search_actions};

}  // namespace

Actions::Actions() {
  for (const auto& add : kAdd) add(*this);
}

void Actions::add(Action action) {
  if (find(action.name) != nullptr) throw std::logic_error("two actions of the name " + action.name);
  actions_.push_back(std::move(action));
}

const Action* Actions::find(std::string_view name) const {
  const auto at = std::ranges::find(actions_, name, &Action::name);
  return at != actions_.end() ? &*at : nullptr;
}

const Action& Actions::get(std::string_view name) const {
  if (const Action* const action = find(name)) return *action;
  constexpr size_t kMost = 5;
  std::vector<std::pair<int, std::string>> like;
  for (const Action& each : actions_) {
    for (const std::string_view part : {name, name.substr(0, name.find('.'))}) {
      if (const int score = fuzzy_score(part, each.name + " " + each.title)) like.emplace_back(-score, each.name);
    }
  }
  std::ranges::sort(like);
  std::vector<std::string> names;
  for (const auto& each : like) {
    if (names.size() < kMost && std::ranges::find(names, each.second) == names.end()) names.push_back(each.second);
  }
  fail_usage({.where = "action",
              .expected = names.empty() ? "a name of the list that the action `actions` gives"
                                        : fmt::format("a name such as {}", fmt::join(names, ", ")),
              .got = fmt::format("\"{}\"", name)});
}

Outcome Actions::run(Workbench& bench, const Call& call) {
  for (const Argument& argument : call.action->arguments) {
    if (!argument.choices || !call.arguments.has(argument.name)) continue;
    const std::vector<std::string> choices = argument.choices(bench);
    const std::string& text = call.arguments.text(argument.name);
    if (std::ranges::find(choices, text) != choices.end()) continue;
    fail_usage(
        {.where = call.action->name + ", " + argument.name,
         .expected = choices.empty() ? "something to choose from" : fmt::format("one of {}", fmt::join(choices, ", ")),
         .got = "\"" + text + "\""});
  }
  return call.action->run(bench, call.arguments);
}

}  // namespace reattend::viz
