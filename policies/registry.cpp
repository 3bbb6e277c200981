// The list of policies, and what it says of their parameters.
#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "policies/policy.h"
#include "policies/windows.h"

/// Every policy, in the order that lists show them. Adding one is a file of this folder, and its name here.
#define REATTEND_POLICIES(POLICY) \
  POLICY(full)                    \
  POLICY(recycled)                \
  POLICY(oracle)                  \
  POLICY(streaming)               \
  POLICY(streaming_refresh)       \
  POLICY(h2o)                     \
  POLICY(snapkv)                  \
  POLICY(pyramidkv)               \
  POLICY(tova)                    \
  POLICY(quest)                   \
  POLICY(tokenselect)             \
  POLICY(sketch)

namespace reattend {

#define REATTEND_DECLARE(name) PolicyInfo name##_policy();
REATTEND_POLICIES(REATTEND_DECLARE)
#undef REATTEND_DECLARE

bool Condition::holds(const Value& found) const {
  if (is == Is::equal) return to_text(found) == value;
  const double limit = std::get<double>(parse_value(*parameter, value)), number = std::get<double>(found);
  return is == Is::above ? number > limit : number <= limit;
}

Value Condition::meeting() const {
  const Value own = parse_value(*parameter, value);
  if (holds(own)) return own;
  for (const std::string_view text : parameter->tried) {
    const Value tried = parse_value(*parameter, text);
    if (holds(tried)) return tried;
  }
  throw Error(fmt::format("policies: nothing that is tried of {} is {}", parameter->key, text()));
}

std::string Condition::text() const {
  constexpr std::string_view kWords[] = {"=", "above", "of at most"};
  return fmt::format("{} {} {}", parameter->key, kWords[static_cast<size_t>(is)], value);
}

PolicyParameter::PolicyParameter(const Parameter& shared, Condition condition)
    : PolicyParameter(shared, shared.initial, condition) {}

PolicyParameter::PolicyParameter(const Parameter& shared, std::string_view own_initial, Condition condition)
    : parameter(&shared), initial(parse_value(shared, own_initial)), when(condition) {}

const PolicyParameter* PolicyInfo::find(std::string_view key) const {
  const auto at = std::find_if(parameters.begin(), parameters.end(),
                               [&](const PolicyParameter& each) { return each.parameter->key == key; });
  return at != parameters.end() ? &*at : nullptr;
}

std::span<const PolicyInfo> policy_registry() {
#define REATTEND_ROW(name) name##_policy(),
  static const std::vector<PolicyInfo> registry = {REATTEND_POLICIES(REATTEND_ROW)};
#undef REATTEND_ROW
  return registry;
}

std::vector<std::string_view> policy_names() {
  std::vector<std::string_view> names;
  for (const PolicyInfo& info : policy_registry()) names.push_back(info.name);
  return names;
}

const PolicyInfo* find_policy(std::string_view name) {
  for (const PolicyInfo& info : policy_registry()) {
    if (info.name == name) return &info;
  }
  return nullptr;
}

std::span<const Parameter* const> parameters() {
  static const std::vector<const Parameter*> all = [] {
    std::vector<const Parameter*> out;
    for (const PolicyInfo& info : policy_registry()) {
      for (const PolicyParameter& each : info.parameters) {
        if (std::find(out.begin(), out.end(), each.parameter) == out.end()) out.push_back(each.parameter);
      }
    }
    return out;
  }();
  return all;
}

const Parameter* find_parameter(std::string_view key_or_flag) {
  for (const Parameter* const each : parameters()) {
    if (each->key == key_or_flag || each->flag == key_or_flag) return each;
  }
  return nullptr;
}

std::vector<std::string_view> takers_of(const Parameter& parameter) {
  std::vector<std::string_view> names;
  for (const PolicyInfo& info : policy_registry()) {
    if (info.takes(parameter.key)) names.push_back(info.name);
  }
  return names;
}

void refuse_parameter(const std::string& where, const Parameter& parameter, std::string_view policy) {
  const std::vector<std::string_view> takers = takers_of(parameter);
  fail_usage({.where = where,
              .expected = fmt::format("a policy that takes it ({})", fmt::join(takers, ", ")),
              .got = std::string(policy),
              .remedy = fmt::format("add --policy {}", takers.front())});
}

std::unique_ptr<Policy> make_policy(const Settings& settings, const RunShape& shape) {
  const PolicyInfo& info = settings.info();
  settings.check_against_model(shape.n_layer);
  return leave_windows_alone(info.make(settings, shape), shape);
}

}  // namespace reattend
