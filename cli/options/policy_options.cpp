// Builds options from the parameters of all policies, and settings from options.
#include "cli/options/policy_options.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "base/standard_streams.h"
#include "policies/policy.h"

namespace reattend::cli {
namespace {

constexpr const char* kGroup = "Policy";

/// "N|L/8|N,N,.."
std::string type_name(const Parameter& parameter) {
  if (parameter.type == ParamType::choice) return fmt::format("{}", fmt::join(parameter.choices, "|"));
  if (parameter.type == ParamType::layer_list) return "LAYERS";
  std::string name = parameter.type == ParamType::real ? "NUMBER" : "N";
  if (parameter.allows_fraction) name += "|L/8";
  if (parameter.allows_never) name += "|never";
  if (parameter.initial == "auto") name += "|auto";
  if (parameter.per_layer) name += "|N,N,..";
  return name;
}

/// "(recycled, quest; default [], quest: [0, 1])"; where a condition must hold, it stands there too.
std::string takers_text(const Parameter& parameter) {
  std::string text = fmt::format("({}; default {}", fmt::join(takers_of(parameter), ", "), parameter.initial);
  for (const PolicyInfo& info : policy_registry()) {
    const PolicyParameter* const taken = info.find(parameter.key);
    if (taken == nullptr || taken->initial == parse_value(parameter, parameter.initial)) continue;
    text += fmt::format(", {}: {}", info.name, to_text(taken->initial));
  }
  for (const PolicyInfo& info : policy_registry()) {
    const PolicyParameter* const taken = info.find(parameter.key);
    if (taken == nullptr || taken->when.parameter == nullptr) continue;
    text += fmt::format("; {}: with {}", info.name, taken->when.text());
  }
  return text + ")";
}

}  // namespace

void add_parameter_options(CLI::App& app, std::map<std::string, Value>& given) {
  for (const Parameter* const parameter : parameters()) {
    std::string flags = fmt::format("--{}", parameter->flag);
    if (parameter->key != parameter->flag) flags += fmt::format(",--{}", parameter->key);
    const auto take = [&given, parameter](const std::string& text) {
      given[std::string(parameter->key)] = parse_value(*parameter, text);
    };
    const std::string help = fmt::format("{} {}", parameter->help, takers_text(*parameter));
    app.add_option_function<std::string>(flags, take, help)->type_name(type_name(*parameter))->group(kGroup);
  }
}

void note_where_nothing_acts(std::span<const Settings> settings, const RunShape& shape) {
  const bool all_full = std::ranges::all_of(settings, [](const Settings& each) { return each.is_full(); });
  if (shape.n_acting() > 0 || all_full) return;
  print_note(
      "reattend: the model has a window of its own in every layer: no policy acts, and every run is as `full`\n");
}

void note_without_effect(std::span<const Settings> settings) {  // [n]
  for (const Settings& each : settings) {
    for (const std::string& line : each.without_effect()) print_note("reattend: {}: {}\n", each.policy(), line);
  }
}

void PolicyOptions::add_to(CLI::App& app) {
  const auto take = [this, &app](const std::string& name) {
    policy = name;
    show_parameters_of(app, name);
  };
  app.add_option_function<std::string>("--policy", take,
                                       fmt::format("What to attend to: {}", fmt::join(policy_names(), ", ")))
      ->type_name("NAME")
      ->group(kGroup);
  app.add_option("--settings", file, "Settings file, as `reattend tune` writes it; other options override it")
      ->type_name("FILE")
      ->group(kGroup);
  add_parameter_options(app, given);
  if (sweeps) show_parameters_of(app, initial);
}

void PolicyOptions::show_parameters_of(CLI::App& app, const std::string& name) const {
  const PolicyInfo* const info = find_policy(name);
  if (info == nullptr) return;
  for (const Parameter* const parameter : parameters()) {
    const bool shown = info->takes(parameter->key) && !(sweeps && is_listed(*parameter));
    app.get_option(fmt::format("--{}", parameter->flag))->group(shown ? kGroup : "");
  }
}

bool PolicyOptions::is_listed(const Parameter& parameter) {
  return !parameter.tried.empty() && parameter.type != ParamType::choice;
}

Settings PolicyOptions::base() const {
  const Settings settings = file.empty() ? Settings(initial) : Settings::from_toml_file(file);
  if (policy.empty()) return settings;
  if (find_policy(policy) == nullptr) {
    fail_usage({.where = "--policy",
                .expected = fmt::format("one of {}", fmt::join(policy_names(), ", ")),
                .got = fmt::format("\"{}\"", policy)});
  }
  return settings.under(policy);
}

Settings PolicyOptions::settings() const {
  Settings settings = base();
  for (const auto& [key, value] : given) {
    const Parameter& parameter = *find_parameter(key);
    if (!settings.takes(key)) refuse_parameter(fmt::format("--{}", parameter.flag), parameter, settings.policy());
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
