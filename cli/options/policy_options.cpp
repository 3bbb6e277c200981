// Builds options from the parameter table and settings from options.
#include "cli/options/policy_options.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "policies/policy.h"

namespace reattend::cli {
namespace {

/// "N|L/8|N,N,.."
std::string type_name(const Parameter& parameter) {
  if (parameter.type == ParamType::choice) return fmt::format("{}", fmt::join(parameter.choices, "|"));
  if (parameter.type == ParamType::layer_list) return "LAYERS";
  std::string name = parameter.type == ParamType::real ? "NUMBER" : "N";
  if (parameter.allows_fraction) name += "|L/8";
  if (parameter.allows_never) name += "|never";
  if (parameter.allows_auto && parameter.initial_of_policy.empty()) name += "|auto";
  if (parameter.per_layer) name += "|N,N,..";
  return name;
}

std::vector<std::string_view> policy_names() {
  std::vector<std::string_view> names;
  for (const PolicyInfo& info : policy_registry()) names.push_back(info.name);
  return names;
}

void check_policy(const std::string& name) {
  const std::vector<std::string_view> names = policy_names();
  if (std::find(names.begin(), names.end(), name) != names.end()) return;
  fail_usage({.where = "--policy",
              .expected = fmt::format("one of {}", fmt::join(names, ", ")),
              .got = fmt::format("\"{}\"", name),
              .remedy = {}});
}

}  // namespace

void add_parameter_options(CLI::App& app, std::map<std::string, Value>& given) {
  for (const Parameter& parameter : parameters()) {
    std::string flags = fmt::format("--{}", parameter.flag);
    if (parameter.key != parameter.flag) flags += fmt::format(",--{}", parameter.key);
    const auto take = [&given, &parameter](const std::string& text) {
      given[std::string(parameter.key)] = parse_value(parameter, text);
    };
    std::string help = fmt::format("{} ({}; default {}", parameter.help, fmt::join(parameter.policies, ", "),
                                   to_text(parameter.initial));
    for (const auto& [name, value] : parameter.initial_of_policy) help += fmt::format(", {}: {}", name, to_text(value));
    help += ")";
    app.add_option_function<std::string>(flags, take, help)->type_name(type_name(parameter))->group("Policy");
  }
}

void PolicyOptions::add_to(CLI::App& app) {
  app.add_option("--policy", policy, fmt::format("What to attend to: {}", fmt::join(policy_names(), ", ")))
      ->type_name("NAME")
      ->group("Policy");
  app.add_option("--settings", file, "Settings file, as `reattend tune` writes it; other options override it")
      ->type_name("FILE")
      ->group("Policy");
  add_parameter_options(app, given);
}

Settings PolicyOptions::settings() const {
  Settings settings = file.empty() ? Settings(initial) : Settings::from_toml_file(file);
  if (!policy.empty() && policy != settings.policy()) {
    check_policy(policy);
    Settings other(policy);
    for (const Parameter& parameter : parameters()) {
      if (parameter.taken_by(policy) && settings.is_set(parameter.key))
        other.set(parameter.key, settings.get(parameter.key));
    }
    settings = other;
  }
  for (const auto& [key, value] : given) {
    const Parameter& parameter = *find_parameter(key);
    if (!parameter.taken_by(settings.policy())) {
      fail_usage({.where = fmt::format("--{}", parameter.flag),
                  .expected = fmt::format("a policy that takes it ({})", fmt::join(parameter.policies, ", ")),
                  .got = settings.policy(),
                  .remedy = fmt::format("add --policy {}", parameter.policies.front())});
    }
    settings.set(key, value);
  }
  return settings;
}

void PolicyOptions::check_layers(const Settings& settings, int32_t n_layer) const {
  try {
    settings.check_against_model(n_layer);
  } catch (const Error& error) {
    const std::string line = error.what();
    if (file.empty() || given.contains(line.substr(0, line.find(':')))) throw;
    throw Error(fmt::format("{}: {}; it was tuned for another model", file, line), error.code());
  }
}

}  // namespace reattend::cli
