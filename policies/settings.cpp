// Reads settings from JSON and TOML, checks every value against the parameter table, and writes them again.
#include "policies/settings.h"

#include <algorithm>
#include <charconv>
#include <sstream>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "policies/policy.h"
#include "policies/toml_text.h"
#include "policies/value_text.h"

namespace reattend {
namespace {

/// An error of a file, or of an argument where `where` is empty.
[[noreturn]] void complain(const std::string& where, std::string expected, std::string got, std::string remedy = {}) {
  const Complaint complaint = {.where = where.empty() ? "settings" : where,
                               .expected = std::move(expected),
                               .got = std::move(got),
                               .remedy = std::move(remedy)};
  where.empty() ? fail_usage(complaint) : fail(complaint);
}

const PolicyInfo& info_of(std::string_view policy, const std::string& where) {
  if (const PolicyInfo* const info = find_policy(policy)) return *info;
  const Complaint complaint = {.where = where.empty() ? "policy" : where,
                               .expected = fmt::format("one of {}", fmt::join(policy_names(), ", ")),
                               .got = fmt::format("\"{}\"", policy)};
  where.empty() ? fail_usage(complaint) : fail(complaint);
}

/// What a user who wrote `key` for a policy that takes no parameter of that name may have meant.
std::string advice_for(const PolicyInfo& info, std::string_view key) {
  const Parameter* const parameter = find_parameter(key);
  if (parameter == nullptr) return {};
  if (info.takes(parameter->key)) return fmt::format("it is written {} here", parameter->key);
  return fmt::format("policies that take it: {}", fmt::join(takers_of(*parameter), ", "));
}

const PolicyParameter& parameter_of(std::string_view policy, std::string_view key, const std::string& where) {
  const PolicyInfo& info = info_of(policy, where);
  if (const PolicyParameter* const taken = info.find(key)) return *taken;
  std::vector<std::string_view> known;
  for (const PolicyParameter& each : info.parameters) known.push_back(each.parameter->key);
  complain(where,
           known.empty() ? fmt::format("no parameters for policy {}", policy)
                         : fmt::format("one of {} for policy {}", fmt::join(known, ", "), policy),
           fmt::format("\"{}\"", key), advice_for(info, key));
}

/// A list of texts that are all integers as a list of integers; integers in their plain form.
Value plain_list(std::vector<std::string> texts) {
  std::vector<int64_t> integers;
  for (std::string& text : texts) {
    int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size()) continue;
    integers.push_back(number), text = fmt::format("{}", number);
  }
  if (integers.size() == texts.size()) return integers;
  return texts;
}

/// Integers stand for reals, "never" for `never` where the parameter has it: one value has one form.
Value canonical(const Parameter& parameter, const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value); text && parameter.allows_never && *text == "never")
    return {};
  if (const auto* texts = std::get_if<std::vector<std::string>>(&value)) return plain_list(*texts);
  if (parameter.type != ParamType::real) return value;
  if (const auto* x = std::get_if<int64_t>(&value)) return static_cast<double>(*x);
  if (const auto* x = std::get_if<std::vector<int64_t>>(&value)) return std::vector<double>(x->begin(), x->end());
  return value;
}

[[noreturn]] void complain_type(const Parameter& parameter, const std::string& where, const std::string& got) {
  complain(fmt::format("{}: {}", where, parameter.key), "a number, a text or a list of them", got);
}

/// Lists mix integers with reals or with texts ("L/8"); they are of that kind when one of them is. Entries come from
/// `entry(i)`, and are an integer, a real or a text.
template <class Entry>
Value list_value(size_t n, const Entry& entry) {
  std::vector<int64_t> integers;
  std::vector<double> reals;
  std::vector<std::string> texts;
  for (size_t i = 0; i < n; ++i) {
    const Value value = entry(i);
    if (const auto* integer = std::get_if<int64_t>(&value)) {
      integers.push_back(*integer), reals.push_back(static_cast<double>(*integer));
    } else if (const auto* real = std::get_if<double>(&value)) {
      reals.push_back(*real);
    }
    texts.push_back(to_text(value));
  }
  if (integers.size() == n) return integers;
  if (reals.size() == n) return reals;
  return texts;
}

Value json_value(const Parameter& parameter, const nlohmann::json& json, const std::string& where) {
  const auto number = [&](const nlohmann::json& x) -> Value {
    if (x.is_number_unsigned() && x.get<uint64_t>() > uint64_t{INT64_MAX})
      return static_cast<double>(x.get<uint64_t>());
    if (x.is_number_integer()) return x.get<int64_t>();
    if (x.is_number_float()) return x.get<double>();
    complain_type(parameter, where, x.type_name());
  };
  if (json.is_null()) return {};
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_string()) return json.get<std::string>();
  const auto entry = [&](size_t i) {
    return json[i].is_string() ? Value(json[i].get<std::string>()) : number(json[i]);
  };
  if (json.is_array()) return list_value(json.size(), entry);
  return number(json);
}

Value toml_value(const Parameter& parameter, const toml::node& node, const std::string& where) {
  const auto number = [&](const toml::node& x) -> Value {
    if (const auto* integer = x.as_integer()) return integer->get();
    if (const auto* real = x.as_floating_point()) return real->get();
    std::ostringstream type;
    type << x.type();
    complain_type(parameter, where, type.str());
  };
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* yes = node.as_boolean()) return yes->get();
  if (const auto* list = node.as_array()) {
    return list_value(list->size(), [&](size_t i) {
      const auto* text = (*list)[i].as_string();
      return text != nullptr ? Value(text->get()) : number((*list)[i]);
    });
  }
  return number(node);
}

/// Whether a choice of another parameter brings a parameter in: what it is then set to is half of that choice.
bool is_mode(const Condition& when) {
  return when.parameter != nullptr && when.parameter->type == ParamType::choice;
}

}  // namespace

void Settings::store(const PolicyParameter& taken, const Value& value, const std::string& where) {
  const Parameter& parameter = *taken.parameter;
  Value checked = canonical(parameter, value);
  check_value(parameter, checked, where);
  const Value automatic = std::string("auto");
  if (parameter.allows_auto && checked == automatic && taken.initial != automatic) {
    complain(where, fmt::format("a value of {}: under {} it follows from nothing else", parameter.key, policy_),
             "auto");
  }
  if (checked == taken.initial) {
    if (const auto old = values_.find(parameter.key); old != values_.end()) values_.erase(old);
    return;
  }
  values_.insert_or_assign(std::string(parameter.key), std::move(checked));
}

const PolicyInfo& Settings::info() const {
  return info_of(policy_, {});
}

bool Settings::takes(std::string_view key) const {
  return info().takes(key);
}

bool Settings::decides(std::string_view key) const {
  const PolicyParameter* const taken = info().find(key);
  if (taken == nullptr) return false;
  return taken->when.parameter == nullptr || taken->when.holds(get(taken->when.parameter->key));
}

void Settings::let_decide(std::string_view key) {
  const Condition when = parameter_of(policy_, key, {}).when;
  if (when.parameter != nullptr && !decides(key)) set(when.parameter->key, when.meeting());
}

std::vector<std::string> Settings::without_effect() const {
  std::vector<std::string> out;
  for (const PolicyParameter& taken : info().parameters) {
    const std::string_view key = taken.parameter->key;
    if (!is_set(key) || decides(key)) continue;
    out.push_back(fmt::format("{} decides nothing here: it takes {}, which is {}", key, taken.when.text(),
                              to_text(get(taken.when.parameter->key))));
  }
  return out;
}

Settings Settings::under(std::string_view policy) const {
  Settings out(policy);
  for (const auto& [key, value] : values_) {
    if (out.takes(key)) out.set(key, value);
  }
  return out;
}

void Settings::set(std::string_view key, const Value& value) {
  store(parameter_of(policy_, key, {}), value, {});
}

const Value& Settings::get(std::string_view key) const {
  if (const auto found = values_.find(key); found != values_.end()) return found->second;
  return parameter_of(policy_, key, {}).initial;
}

int64_t Settings::count(std::string_view key, int layer, int64_t n_prompt) const {
  const Value value = at_layer(get(key), layer);
  if (const auto* fraction = std::get_if<std::string>(&value)) {
    if (*fraction == "auto") throw Error(fmt::format("settings: {} follows from other parameters", key));
    const int64_t n = fraction_of(*fraction, n_prompt);
    if (n > 0) return n;
    fail_usage({.where = std::string(key),
                .expected = fmt::format("a fraction of the prompt that is at least 1 of its {} tokens", n_prompt),
                .got = fmt::format("{}, which is 0", *fraction),
                .remedy = "give a larger fraction, a number, or a longer prompt"});
  }
  return std::get<int64_t>(value);
}

std::optional<int64_t> Settings::count_or_never(std::string_view key, int layer) const {
  if (std::holds_alternative<std::monostate>(at_layer(get(key), layer))) return std::nullopt;
  return count(key, layer, 0);
}

double Settings::real(std::string_view key, int layer) const {
  return std::get<double>(at_layer(get(key), layer));
}

bool Settings::is_auto(std::string_view key) const {
  const auto* text = std::get_if<std::string>(&get(key));
  return text != nullptr && *text == "auto";
}

const std::string& Settings::choice(std::string_view key) const {
  return std::get<std::string>(get(key));
}

std::vector<int64_t> Settings::layers(std::string_view key) const {
  return std::get<std::vector<int64_t>>(get(key));
}

void Settings::check_against_model(int n_layer) const {
  for (const auto& [key, value] : values_) {
    const Parameter& parameter = *parameter_of(policy_, key, {}).parameter;
    if (parameter.type == ParamType::layer_list) {
      for (const int64_t layer : std::get<std::vector<int64_t>>(value)) {
        if (layer >= n_layer) {
          fail_usage({.where = key,
                      .expected = fmt::format("layers from 0 to {}", n_layer - 1),
                      .got = fmt::format("{}", layer),
                      .remedy = {}});
        }
      }
    } else if (const auto size = list_size(value); size && *size != static_cast<size_t>(n_layer)) {
      fail_usage({.where = key,
                  .expected = fmt::format("one value, or {} for the model's layers", n_layer),
                  .got = fmt::format("{} values", *size),
                  .remedy = {}});
    }
  }
}

std::string Settings::summary(std::initializer_list<std::string_view> without) const {
  std::string text = policy_;
  for (const PolicyParameter& taken : info().parameters) {
    const Parameter& parameter = *taken.parameter;
    if (std::find(without.begin(), without.end(), parameter.key) != without.end()) continue;
    const bool made_to_decide = is_mode(taken.when) && is_set(taken.when.parameter->key) && decides(parameter.key);
    const bool shown = made_to_decide || parameter.key == "S" || (parameter.key == "K" && !is_auto("K"));
    if (!is_set(parameter.key) && !shown) continue;
    text += fmt::format(" {}={}", parameter.key, short_text(parameter, get(parameter.key)));
  }
  return text;
}

Settings Settings::from_json(const nlohmann::json& object, const std::string& where) {
  if (!object.is_object()) complain(where, "an object with the policy's name and parameters", object.type_name());
  const auto name = object.find("name");
  if (name == object.end() || !name->is_string()) {
    complain(where, fmt::format("\"name\" with one of {}", fmt::join(policy_names(), ", ")),
             name == object.end() ? "none" : name->type_name());
  }
  Settings settings(name->get<std::string>());
  info_of(settings.policy_, where);
  for (const auto& [key, value] : object.items()) {
    if (key == "name") continue;
    const PolicyParameter& taken = parameter_of(settings.policy_, key, where);
    settings.store(taken, json_value(*taken.parameter, value, where), where);
  }
  return settings;
}

nlohmann::json Settings::to_json() const {
  nlohmann::json object = {{"name", policy_}};
  for (const PolicyParameter& taken : info().parameters) {
    object[std::string(taken.parameter->key)] = value_json(get(taken.parameter->key));
  }
  return object;
}

Settings Settings::from_toml_file(const std::filesystem::path& path) {
  return from_toml(read_settings_text(path), path.string());
}

Settings Settings::from_toml(std::string_view text, const std::string& where) {
  const auto at = [&where](const toml::source_region& source) { return place_of(source, where); };
  const toml::table file = parse_toml(text, where);
  const toml::node* node = file.get("policy");
  const toml::table* table = node != nullptr ? node->as_table() : nullptr;
  if (table == nullptr) {
    complain(node != nullptr ? at(node->source()) : where, "a table [policy] with name and parameters",
             node != nullptr ? "something else named policy" : "none");
  }
  const toml::node* name = table->get("name");
  if (name == nullptr || !name->is_string()) {
    complain(at((name != nullptr ? *name : *node).source()),
             fmt::format("name = \"...\" in [policy], one of {}", fmt::join(policy_names(), ", ")),
             name != nullptr ? "something that is no text" : "none");
  }
  Settings settings(name->as_string()->get());
  info_of(settings.policy_, at(name->source()));
  for (const auto& [key, value] : *table) {
    if (key == "name") continue;
    const std::string line = at(key.source());
    const PolicyParameter& taken = parameter_of(settings.policy_, key.str(), line);
    settings.store(taken, toml_value(*taken.parameter, value, line), line);
  }
  return settings;
}

std::string Settings::to_toml() const {
  std::string text = fmt::format("[policy]\nname = \"{}\"\n", policy_);
  for (const PolicyParameter& taken : info().parameters) {
    text += fmt::format("{} = {}\n", taken.parameter->key, toml_text(get(taken.parameter->key)));
  }
  return text;
}

}  // namespace reattend
