// Actions on the setting under trial and on the bounds that it is held against.
#include "base/error.h"
#include "policies/policy.h"
#include "viz/actions/actions.h"
#include "viz/actions/workbench.h"
#include "viz/session/save_settings.h"

namespace reattend::viz {
namespace {

constexpr const char* kGroup = "setting";
constexpr const char* kPolicy = "policy";

std::vector<std::string> policy_names(const Workbench&) {
  std::vector<std::string> names;
  for (const PolicyInfo& policy : policy_registry()) names.emplace_back(policy.name);
  return names;
}

void set(Workbench& bench, const Arguments& arguments) {
  Settings settings = bench.session.settings();
  if (arguments.has(kPolicy)) settings = settings.under(arguments.text(kPolicy));
  for (const auto& [name, value] : arguments.all()) {
    if (name == kPolicy) continue;
    const Parameter* const parameter = find_parameter(name);
    if (parameter == nullptr || !settings.takes(parameter->key)) {
      std::string keys;
      for (const PolicyParameter& each : settings.info().parameters) {
        keys += (keys.empty() ? "" : ", ") + std::string(each.parameter->key);
      }
      fail_usage({.where = "setting.set", .expected = "of " + settings.policy() + " one of " + keys, .got = name});
    }
    settings.set(parameter->key, parse_value(*parameter, std::get<std::string>(value)));
  }
  bench.session.set_settings(settings);
}

Argument bound(const char* name, const char* help) {
  return {.name = name, .type = ArgumentType::number, .help = help, .required = false, .low = 0};
}

void set_bounds(Workbench& bench, const Arguments& arguments) {
  TuneBounds bounds = bench.session.bounds();
  if (arguments.has("kl")) bounds.max_kl = arguments.number("kl");
  const auto optional = [&](const char* name, std::optional<double>& limit) {
    if (!arguments.has(name)) return;
    const double value = arguments.number(name);
    limit = value > 0 ? std::optional(value) : std::nullopt;
  };
  optional("ms", bounds.max_ms);
  optional("agreement", bounds.min_agreement);
  optional("output_error", bounds.max_output_error);
  optional("lost_mass", bounds.max_lost_mass);
  bench.session.set_bounds(bounds);
}

}  // namespace

void add_setting_actions(Actions& actions) {
  actions.add({.name = "setting.set",
               .title = "change the setting",
               .group = kGroup,
               .run = does(set),
               .arguments = {{.name = kPolicy,
                              .help = "values of the old one are kept as far as it takes them",
                              .required = false,
                              .choices = policy_names}},
               .further = "parameters of the policy, such as K=64 S=10 threshold=0.9"});
  actions.add({.name = "setting.load",
               .title = "load a settings file",
               .group = kGroup,
               .run = does([](Workbench& bench, const Arguments& arguments) {
                 bench.session.set_settings(Settings::from_toml_file(arguments.text("file")));
               }),
               .arguments = {{.name = "file", .help = "as tune and save make them"}}});
  actions.add(
      {.name = "setting.save",
       .title = "save the setting to a file",
       .group = kGroup,
       .run = does([](Workbench& bench, const Arguments& arguments) {
         save_settings(bench.session, arguments.text("file"), arguments.flag("force", false));
       }),
       .arguments = {
           {.name = "file", .help = "NAME.toml"},
           {.name = "force", .type = ArgumentType::flag, .help = "replaces a file of this name", .required = false}}});
  actions.add({.name = "bounds.set",
               .title = "change the bounds",
               .group = kGroup,
               .run = does(set_bounds),
               .arguments = {bound("kl", "the largest KL that is accepted, in nats"),
                             bound("ms", "the longest time of a token; 0: none"),
                             bound("agreement", "the least share of first choices kept; 0: none"),
                             bound("output_error", "the 95th percentile, where no KL is predicted; 0: the default"),
                             bound("lost_mass", "the mean, where no KL is predicted; 0: the default")}});
}

}  // namespace reattend::viz
