// Passes what was given under an option's old name on to the option, and copies JSON values to their old keys.
#include "cli/options/old_names.h"

#include <nlohmann/json.hpp>

#include "base/standard_streams.h"

namespace reattend::cli {

void add_old_name(CLI::App& app, CLI::Option& option, const std::string& old_name) {
  CLI::Option* const target = &option;
  const auto pass_on = [target, old_name](const CLI::results_t& given) {
    print_note("reattend: {} is now called {}; the next version takes the new name alone\n", old_name,
               target->get_name());
    for (const std::string& each : given) target->add_result(each);
    target->run_callback();
    return true;
  };
  // Without a value it passes on an empty text, which the option refuses under its own name: a hidden one has none.
  app.add_option(old_name, pass_on)
      ->expected(0, 1)
      ->type_name(option.get_type_name())
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false)
      ->group("");
}

void add_old_key(nlohmann::json& json, const std::string& key, const std::string& old_key) {
  json[old_key] = json.at(key);
}

}  // namespace reattend::cli
