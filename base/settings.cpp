// Reads settings from JSON and TOML, checks every value against the parameter table, and writes them again.
#include "base/settings.h"

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <toml++/toml.h>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace reattend {
namespace {

/// A settings file is a page of text; anything longer is another file.
constexpr std::uintmax_t kMostBytes = 1 << 20;

/// The names that the parameter table knows; `full` takes no parameter.
std::set<std::string_view> policy_names() {
  std::set<std::string_view> names = {"full"};
  for (const Parameter& parameter : parameters()) names.insert(parameter.policies.begin(), parameter.policies.end());
  return names;
}

/// An error of a file, or of an argument where `where` is empty.
[[noreturn]] void complain(const std::string& where, std::string expected, std::string got, std::string remedy = {}) {
  const Complaint complaint = {.where = where.empty() ? "settings" : where,
                               .expected = std::move(expected),
                               .got = std::move(got),
                               .remedy = std::move(remedy)};
  where.empty() ? fail_usage(complaint) : fail(complaint);
}

const Parameter& parameter_of(const std::string& policy, std::string_view key, const std::string& where) {
  if (!policy_names().contains(policy)) {
    complain(where, fmt::format("one of the policies {}", fmt::join(policy_names(), ", ")),
             fmt::format("\"{}\"", policy));
  }
  const Parameter* parameter = find_parameter(key);
  if (parameter != nullptr && parameter->key == key && parameter->taken_by(policy)) return *parameter;
  std::vector<std::string_view> known;
  for (const Parameter& row : parameters()) {
    if (row.taken_by(policy)) known.push_back(row.key);
  }
  const std::string remedy = parameter != nullptr && parameter->key != key && parameter->taken_by(policy)
                                 ? fmt::format("it is written {} here", parameter->key)
                                 : std::string();
  complain(where,
           known.empty() ? fmt::format("no parameters for policy {}", policy)
                         : fmt::format("one of {} for policy {}", fmt::join(known, ", "), policy),
           fmt::format("\"{}\"", key), remedy);
}

/// Integers stand for reals, "never" for `never` where the parameter has it: one value has one form.
Value canonical(const Parameter& parameter, const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value); text && parameter.allows_never && *text == "never")
    return {};
  if (parameter.type != ParamType::real) return value;
  if (const auto* x = std::get_if<int64_t>(&value)) return static_cast<double>(*x);
  if (const auto* x = std::get_if<std::vector<int64_t>>(&value)) return std::vector<double>(x->begin(), x->end());
  return value;
}

[[noreturn]] void complain_type(const Parameter& parameter, const std::string& where, const std::string& got) {
  complain(fmt::format("{}: {}", where, parameter.key), "a number, a text or a list of numbers", got);
}

/// Lists mix integers and reals freely; they are reals when one of them is. Numbers come from `number(i)`.
template <class Number>
Value list_value(size_t n, const Number& number) {
  std::vector<int64_t> integers;
  std::vector<double> reals;
  bool real = false;
  for (size_t i = 0; i < n; ++i) {
    const Value value = number(i);
    if (const auto* x = std::get_if<int64_t>(&value)) {
      integers.push_back(*x), reals.push_back(static_cast<double>(*x));
    } else {
      real = true, reals.push_back(std::get<double>(value));
    }
  }
  if (real) return reals;
  return integers;
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
  if (json.is_array()) return list_value(json.size(), [&](size_t i) { return number(json[i]); });
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
  if (const auto* list = node.as_array()) return list_value(list->size(), [&](size_t i) { return number((*list)[i]); });
  return number(node);
}

/// Text with every byte beyond ASCII written as ?hex; without a byte order mark. Where TOML allows no such letter,
/// toml++ 3.3 runs into a __builtin_unreachable (its issue 295), so none may reach it. Nothing that is read here holds
/// one: outside of texts and comments it stays an error, in the texts of other tables it doesn't matter.
std::string ascii_of(std::string_view text) {
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    byte < 0x80 ? out += c : out += fmt::format("?{:02x}", byte);
  }
  return out;
}

nlohmann::json to_json_value(const Value& value) {
  return std::visit(
      [](const auto& x) -> nlohmann::json {
        if constexpr (std::is_same_v<std::decay_t<decltype(x)>, std::monostate>) {
          return nullptr;
        } else {
          return x;
        }
      },
      value);
}

}  // namespace

void Settings::store(const Parameter& parameter, const Value& value, const std::string& where) {
  Value checked = canonical(parameter, value);
  check_value(parameter, checked, where);
  const Value automatic = std::string("auto");
  if (checked == automatic && parameter.initial_for(policy_) != automatic) {
    complain(where, fmt::format("a value of {}: under {} it follows from nothing else", parameter.key, policy_),
             "auto");
  }
  if (checked == parameter.initial_for(policy_)) {
    if (const auto old = values_.find(parameter.key); old != values_.end()) values_.erase(old);
    return;
  }
  values_.insert_or_assign(std::string(parameter.key), std::move(checked));
}

void Settings::set(std::string_view key, const Value& value) {
  store(parameter_of(policy_, key, {}), value, {});
}

const Value& Settings::get(std::string_view key) const {
  if (const auto found = values_.find(key); found != values_.end()) return found->second;
  return parameter_of(policy_, key, {}).initial_for(policy_);
}

int64_t Settings::count(std::string_view key, int layer, int64_t n_prompt) const {
  const Value& value = get(key);
  if (const auto* list = std::get_if<std::vector<int64_t>>(&value)) return list->at(static_cast<size_t>(layer));
  if (const auto* fraction = std::get_if<std::string>(&value)) {
    if (*fraction == "auto") throw Error(fmt::format("settings: {} follows from other parameters", key));
    return std::max<int64_t>(1, n_prompt / std::stoll(fraction->substr(2)));
  }
  return std::get<int64_t>(value);
}

std::optional<int64_t> Settings::count_or_never(std::string_view key, int layer) const {
  if (std::holds_alternative<std::monostate>(get(key))) return std::nullopt;
  return count(key, layer, 0);
}

double Settings::real(std::string_view key, int layer) const {
  const Value& value = get(key);
  if (const auto* list = std::get_if<std::vector<double>>(&value)) return list->at(static_cast<size_t>(layer));
  return std::get<double>(value);
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
    const Parameter& parameter = parameter_of(policy_, key, {});
    const auto* integers = std::get_if<std::vector<int64_t>>(&value);
    const auto* reals = std::get_if<std::vector<double>>(&value);
    if (parameter.type == ParamType::layer_list) {
      for (const int64_t layer : *integers) {
        if (layer >= n_layer) {
          fail_usage({.where = key,
                      .expected = fmt::format("layers from 0 to {}", n_layer - 1),
                      .got = fmt::format("{}", layer),
                      .remedy = {}});
        }
      }
    } else if (integers != nullptr || reals != nullptr) {
      const size_t size = integers != nullptr ? integers->size() : reals->size();
      if (size != static_cast<size_t>(n_layer)) {
        fail_usage({.where = key,
                    .expected = fmt::format("one value, or {} for the model's layers", n_layer),
                    .got = fmt::format("{} values", size),
                    .remedy = {}});
      }
    }
  }
}

std::string Settings::summary() const {
  std::string text = policy_;
  for (const Parameter& parameter : parameters()) {
    if (!parameter.taken_by(policy_)) continue;
    const bool decides = parameter.key == "threshold" && policy_ == "recycled" && choice("schedule") == "query";
    const bool shown = decides || parameter.key == "S" || (parameter.key == "K" && !is_auto("K"));
    if (!is_set(parameter.key) && !shown) continue;
    text += fmt::format(" {}={}", parameter.key, to_text(get(parameter.key)));
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
  if (!policy_names().contains(settings.policy_)) parameter_of(settings.policy_, "name", where);
  for (const auto& [key, value] : object.items()) {
    if (key == "name") continue;
    const Parameter& parameter = parameter_of(settings.policy_, key, where);
    settings.store(parameter, json_value(parameter, value, where), where);
  }
  return settings;
}

nlohmann::json Settings::to_json() const {
  nlohmann::json object = {{"name", policy_}};
  for (const Parameter& parameter : parameters()) {
    if (parameter.taken_by(policy_)) object[std::string(parameter.key)] = to_json_value(get(parameter.key));
  }
  return object;
}

Settings Settings::from_toml_file(const std::filesystem::path& path) {
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (error || !std::filesystem::is_regular_file(path)) {
    fail({.where = path.string(),
          .expected = "a settings file",
          .got = error ? error.message() : "something else",
          .remedy = "`reattend tune` writes one"});
  }
  if (size > kMostBytes) {
    fail({.where = path.string(),
          .expected = fmt::format("a settings file of at most {} bytes", kMostBytes),
          .got = fmt::format("{} bytes", size),
          .remedy = {}});
  }
  std::string text(size, '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(text.data(), static_cast<std::streamsize>(size));
  if (!file) fail({.where = path.string(), .expected = "a readable file", .got = "a read error", .remedy = {}});
  return from_toml(text, path.string());
}

Settings Settings::from_toml(std::string_view text, const std::string& where) {
  const auto at = [&where](const toml::source_region& source) {
    return fmt::format("{}:{}", where, source.begin.line);
  };
  toml::table file;
  try {
    file = toml::parse(ascii_of(text));
  } catch (const toml::parse_error& error) {
    complain(at(error.source()), "TOML", std::string(error.description()));
  }
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
  if (!policy_names().contains(settings.policy_)) parameter_of(settings.policy_, "name", at(name->source()));
  for (const auto& [key, value] : *table) {
    if (key == "name") continue;
    const std::string line = at(key.source());
    const Parameter& parameter = parameter_of(settings.policy_, key.str(), line);
    settings.store(parameter, toml_value(parameter, value, line), line);
  }
  return settings;
}

std::string Settings::to_toml() const {
  std::string text = fmt::format("[policy]\nname = \"{}\"\n", policy_);
  for (const Parameter& parameter : parameters()) {
    if (!parameter.taken_by(policy_)) continue;
    const Value& value = get(parameter.key);
    const bool quoted = std::holds_alternative<std::string>(value) || std::holds_alternative<std::monostate>(value);
    text += fmt::format("{0} = {2}{1}{2}\n", parameter.key, to_text(value), quoted ? "\"" : "");
  }
  return text;
}

}  // namespace reattend
