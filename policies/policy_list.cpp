// Cuts the line into entries and pairs; every value goes through the parameter table.
#include "policies/policy_list.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "policies/policy.h"
#include "policies/shared_parameters.h"

namespace reattend {
namespace {

[[noreturn]] void refuse(std::string_view entry, const std::string& expected, const std::string& got,
                         const std::string& remedy = {}) {
  fail_usage(
      {.where = fmt::format("--policies, entry \"{}\"", entry), .expected = expected, .got = got, .remedy = remedy});
}

Settings with_common(std::string_view name, const ParameterValues& common) {
  Settings settings{std::string(name)};
  for (const auto& [key, value] : common) {
    if (settings.takes(key)) settings.set(key, value);
  }
  return settings;
}

/// `parameter`: nullptr where no policy takes one of that name.
[[noreturn]] void refuse_pair(std::string_view entry, std::string_view pair, const PolicyInfo& policy,
                              const Parameter* parameter) {
  std::vector<std::string_view> keys;
  for (const PolicyParameter& each : policy.parameters) keys.push_back(each.parameter->key);
  refuse(entry,
         keys.empty() ? fmt::format("{} without parameters", policy.name)
                      : fmt::format("parameters of {} ({})", policy.name, fmt::join(keys, ", ")),
         fmt::format("\"{}\"", pair),
         parameter != nullptr ? fmt::format("policies that take it: {}", fmt::join(takers_of(*parameter), ", ")) : "");
}

Settings parse_entry(std::string_view entry, const ParameterValues& common) {
  std::vector<std::string_view> parts = cut_outside_brackets(entry, ": \t\n");
  std::erase(parts, "");
  const std::vector<std::string_view> names = policy_names();
  if (parts.empty()) refuse(entry, "a policy's name", "nothing");
  if (std::find(names.begin(), names.end(), parts.front()) == names.end()) {
    refuse(entry, fmt::format("one of {}", fmt::join(names, ", ")), fmt::format("\"{}\"", parts.front()));
  }
  Settings settings = with_common(parts.front(), common);
  for (const std::string_view pair : std::span(parts).subspan(1)) {
    const size_t equals = pair.find('=');
    const Parameter* parameter = find_parameter(pair.substr(0, equals));
    if (parameter == nullptr || !settings.takes(parameter->key)) refuse_pair(entry, pair, settings.info(), parameter);
    if (equals == pair.npos) {
      refuse(entry, fmt::format("{}=VALUE", parameter->key), fmt::format("\"{}\" without a value", pair));
    }
    try {
      settings.set(parameter->key, parse_value(*parameter, pair.substr(equals + 1)));
    } catch (const Error& error) {
      throw Error(fmt::format("--policies, entry \"{}\": {}", to_line({.where = std::string(entry)}), error.what()),
                  error.code());
    }
  }
  return settings;
}

}  // namespace

std::vector<std::string_view> cut_outside_brackets(std::string_view text, std::string_view separators) {
  std::vector<std::string_view> pieces;
  size_t begin = 0;
  int depth = 0;
  for (size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size()) {
      depth += text[i] == '[' ? 1 : text[i] == ']' ? -1 : 0;
      if (depth > 0 || separators.find(text[i]) == separators.npos) continue;
    }
    pieces.push_back(text.substr(begin, i - begin));
    begin = i + 1;
  }
  return pieces;
}

std::vector<Settings> parse_policies(std::string_view text, const ParameterValues& common) {
  std::vector<Settings> out;
  for (const std::string_view entry : cut_outside_brackets(text, ",")) out.push_back(parse_entry(entry, common));
  return out;
}

std::string policy_entry(const Settings& settings) {
  std::string out = settings.policy();
  for (const PolicyParameter& each : settings.info().parameters) {
    const std::string_view key = each.parameter->key;
    if (settings.is_set(key)) out += fmt::format(":{}={}", key, to_text(settings.get(key)));
  }
  return out;
}

std::vector<Settings> all_policies(const ParameterValues& common) {
  std::vector<Settings> out;
  for (const std::string_view name : policy_names()) {
    if (name != kFullAttention) out.push_back(with_common(name, common));
  }
  return out;
}

void check_taken(const ParameterValues& values, const std::vector<Settings>& policies) {
  for (const auto& [key, value] : values) {
    const Parameter& parameter = *find_parameter(key);
    if (std::any_of(policies.begin(), policies.end(),
                    [&](const Settings& each) { return each.takes(parameter.key); })) {
      continue;
    }
    fail_usage(
        {.where = fmt::format("--{}", parameter.flag),
         .expected = fmt::format("a policy in the list that takes it ({})", fmt::join(takers_of(parameter), ", ")),
         .got = "none"});
  }
}

std::string common_budget(const std::vector<Settings>& policies) {
  std::string budget;
  for (const Settings& each : policies) {
    if (!each.takes(kBudget.key)) continue;
    const std::string mine = to_text(each.get(kBudget.key));
    if (!budget.empty() && mine != budget) return {};
    budget = mine;
  }
  return budget;
}

std::string policy_names_of(const std::vector<Settings>& settings) {
  std::vector<std::string> names;
  for (const Settings& each : settings) names.push_back(each.policy());
  return fmt::format("{}", fmt::join(names, ", "));
}

std::vector<std::string> short_names(const std::vector<Settings>& policies) {
  const bool same = !common_budget(policies).empty();
  std::vector<std::string> names;
  for (const Settings& each : policies) names.push_back(same ? each.summary({kBudget.key}) : each.summary());
  return names;
}

}  // namespace reattend
