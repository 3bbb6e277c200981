// The table of actions. New ones are a file here with a function that add()s them (as step_actions.cpp) and its CMake
// row, declared below with the others and listed in kAdd of actions.cpp; keys, menus, palette and scripts have them
// then.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "viz/actions/action.h"

namespace reattend::viz {

/// An action with its arguments, ready to be run.
struct Call {
  const Action* action = nullptr;
  Arguments arguments = {};
};

class Actions {
 public:
  /// All that actions.cpp lists.
  Actions();
  Actions(const Actions&) = delete;
  Actions& operator=(const Actions&) = delete;
  /// Before any is called. A name may be there once.
  void add(Action action);
  /// In the order in which they were added.
  const std::vector<Action>& all() const { return actions_; }
  const Action* find(std::string_view name) const;
  /// Throws Error (usage), naming some that are like it, where there is none.
  const Action& get(std::string_view name) const;

  /// `step.set step=12`, `step.set 12` (arguments in their order), `setting.load file="my file.toml"`, or JSON:
  /// {"action": "step.set", "args": {"step": 12}}. Throws Error (usage) for what is not in the table, or not of its
  /// type or range.
  Call parse(std::string_view line) const;
  /// What stands behind the name of an action.
  Call parse(const Action& action, std::string_view arguments) const;
  /// The JSON of a call.
  Call read(const nlohmann::json& object) const;
  /// Throws Error as the action does, and for a text that is none of its argument's choices.
  static Outcome run(Workbench& bench, const Call& call);

 private:
  std::vector<Action> actions_;
};

/// What add actions, one a file.
void add_engine_actions(Actions& actions);
void add_export_actions(Actions& actions);
void add_picture_actions(Actions& actions);
void add_search_actions(Actions& actions);
void add_setting_actions(Actions& actions);
void add_step_actions(Actions& actions);
void add_timeline_actions(Actions& actions);
void add_text_actions(Actions& actions);
void add_trace_actions(Actions& actions);
void add_trial_actions(Actions& actions);
void add_view_actions(Actions& actions);
void add_wait_actions(Actions& actions);
void add_window_actions(Actions& actions);

/// A line of JSON. Throws Error (usage) where it is none.
nlohmann::json read_json(std::string_view line);
/// The call as parse() takes it.
std::string to_line(const Call& call);
/// "step.set step=N": how an action is called.
std::string usage_of(const Action& action);
/// The arguments as JSON, by name.
nlohmann::json to_json(const Arguments& arguments);

}  // namespace reattend::viz
