// Passes what was given under an option's old name on to the option, and copies JSON values to their old keys.
#include "cli/options/old_names.h"

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/standard_streams.h"

namespace reattend::cli {
namespace {

/// How the description of an old name begins; other options are hidden for other reasons.
std::string now_called(const std::string& old_name) {
  return old_name + " is now called ";
}

}  // namespace

void add_old_name(CLI::App& app, CLI::Option& option, const std::string& old_name) {
  CLI::Option* const target = &option;
  const auto pass_on = [target, old_name](const CLI::results_t& given) {
    if (target->get_items_expected_max() == 1 && target->count() > 0) {
      fail_usage({old_name, "one of two names for an option", target->get_name() + " beside it", "leave one out"});
    }
    for (const std::string& each : given) target->add_result(each);
    target->run_callback();
    return true;
  };
  // Without a value it passes on an empty text, which the option refuses under its own name: a hidden one has none.
  app.add_option(old_name, pass_on,
                 now_called(old_name) + target->get_name() + "; the next version takes the new name alone")
      ->expected(0, 1)
      ->type_name(option.get_type_name())
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false)
      ->group("");
}

void tell_new_names(const CLI::App& app) {
  for (const CLI::App* const command : app.get_subcommands()) {
    for (const CLI::Option* const option : command->get_options()) {
      const std::string note = option->get_description();
      const std::vector<std::string>& names = option->get_lnames();  // get_name() of a hidden option is empty
      const bool is_old = !names.empty() && note.starts_with(now_called("--" + names.front()));
      if (is_old && option->count() > 0) print_note("reattend: {}\n", note);
    }
    tell_new_names(*command);
  }
}

void add_old_key(nlohmann::json& json, const std::string& key, const std::string& old_key) {
  json[old_key] = json.at(key);
}

}  // namespace reattend::cli
