// Cuts the line into entries and pairs; every value goes through the parameter table.
#include "policies/policy_list.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "policies/policy.h"

namespace reattend {
namespace {

constexpr std::string_view kBudget = "K";

/// Pieces between separators outside of [brackets]; empty ones too.
std::vector<std::string_view> cut(std::string_view text, std::string_view separators) {
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

std::vector<std::string_view> policy_names() {
  std::vector<std::string_view> names;
  for (const PolicyInfo& info : policy_registry()) names.push_back(info.name);
  return names;
}

[[noreturn]] void refuse(std::string_view entry, const std::string& expected, const std::string& got) {
  fail_usage({.where = fmt::format("--policies, entry \"{}\"", entry), .expected = expected, .got = got});
}

Settings with_common(std::string_view name, const ParameterValues& common) {
  Settings settings{std::string(name)};
  for (const auto& [key, value] : common) {
    if (find_parameter(key)->taken_by(name)) settings.set(key, value);
  }
  return settings;
}

Settings parse_entry(std::string_view entry, const ParameterValues& common) {
  std::vector<std::string_view> parts = cut(entry, ": \t\n");
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
    if (parameter == nullptr || !parameter->taken_by(settings.policy())) {
      std::vector<std::string_view> keys;
      for (const Parameter& each : parameters()) {
        if (each.taken_by(settings.policy())) keys.push_back(each.key);
      }
      refuse(entry,
             keys.empty() ? settings.policy() + " without parameters"
                          : fmt::format("parameters of {} ({})", settings.policy(), fmt::join(keys, ", ")),
             fmt::format("\"{}\"", pair));
    }
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

std::vector<Settings> parse_policies(std::string_view text, const ParameterValues& common) {
  std::vector<Settings> out;
  for (const std::string_view entry : cut(text, ",")) out.push_back(parse_entry(entry, common));
  return out;
}

std::vector<Settings> all_policies(const ParameterValues& common) {
  std::vector<Settings> out;
  for (const std::string_view name : policy_names()) {
    if (name != "full") out.push_back(with_common(name, common));
  }
  return out;
}

void check_taken(const ParameterValues& values, const std::vector<Settings>& policies) {
  for (const auto& [key, value] : values) {
    const Parameter& parameter = *find_parameter(key);
    if (std::any_of(policies.begin(), policies.end(),
                    [&](const Settings& each) { return parameter.taken_by(each.policy()); })) {
      continue;
    }
    fail_usage({.where = fmt::format("--{}", parameter.flag),
                .expected = fmt::format("a policy in the list that takes it ({})", fmt::join(parameter.policies, ", ")),
                .got = "none"});
  }
}

std::string common_budget(const std::vector<Settings>& policies) {
  std::string budget;
  for (const Settings& each : policies) {
    if (!find_parameter(kBudget)->taken_by(each.policy())) continue;
    const std::string mine = to_text(each.get(kBudget));
    if (!budget.empty() && mine != budget) return {};
    budget = mine;
  }
  return budget;
}

std::vector<std::string> short_names(const std::vector<Settings>& policies) {
  const std::string budget = common_budget(policies), part = fmt::format(" {}={}", kBudget, budget);
  std::vector<std::string> names;
  for (const Settings& each : policies) {
    std::string name = each.summary();
    if (const size_t at = name.find(part + " "), end = name.size() - std::min(part.size(), name.size());
        !budget.empty() && (at != name.npos || name.ends_with(part))) {
      name.erase(at != name.npos ? at : end, part.size());
    }
    names.push_back(name);
  }
  return names;
}

}  // namespace reattend
