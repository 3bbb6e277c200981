// Reads calls from text and from JSON, and checks every argument against the table before anything is run.
#include <charconv>
#include <cmath>
#include <system_error>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "base/json_text.h"
#include "viz/actions/actions.h"

namespace reattend::viz {
namespace {

const Argument* find_argument(const Action& action, std::string_view name) {
  for (const Argument& each : action.arguments) {
    if (each.name == name) return &each;
  }
  return nullptr;
}

std::string words_for(ArgumentType type) {
  switch (type) {
    case ArgumentType::whole:
      return "a whole number";
    case ArgumentType::number:
      return "a number";
    case ArgumentType::flag:
      return "true or false";
    case ArgumentType::text:
      break;
  }
  return "a text";
}

std::string expected(const Argument& argument) {
  std::string text = words_for(argument.type);
  if (std::isfinite(argument.low)) text += fmt::format(" from {}", argument.low);
  if (std::isfinite(argument.high))
    text += fmt::format("{} to {}", std::isfinite(argument.low) ? "" : " up", argument.high);
  return text;
}

[[noreturn]] void refuse(const Action& action, const Argument& argument, const std::string& got) {
  fail_usage({.where = action.name + ", " + argument.name,
              .expected = expected(argument),
              .got = got,
              .remedy = argument.help});
}

template <class Number>
std::optional<Number> number_in(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<ArgumentValue> typed(const Argument& argument, const std::string& text) {
  switch (argument.type) {
    case ArgumentType::whole:
      if (const auto number = number_in<int64_t>(text)) return *number;
      return std::nullopt;
    case ArgumentType::number:
      if (const auto number = number_in<double>(text)) return *number;
      return std::nullopt;
    case ArgumentType::flag:
      if (text == "true" || text == "on") return true;
      if (text == "false" || text == "off") return false;
      return std::nullopt;
    case ArgumentType::text:
      break;
  }
  return text;
}

std::optional<ArgumentValue> typed(const Argument& argument, const nlohmann::json& value) {
  switch (argument.type) {
    case ArgumentType::whole:
      // What is beyond int64 comes as an unsigned number, or as one with a fraction.
      if (value.is_number_unsigned() && value.get<uint64_t>() > uint64_t{INT64_MAX}) return std::nullopt;
      if (value.is_number_integer()) return value.get<int64_t>();
      return std::nullopt;
    case ArgumentType::number:
      if (value.is_number()) return value.get<double>();
      return std::nullopt;
    case ArgumentType::flag:
      if (value.is_boolean()) return value.get<bool>();
      return std::nullopt;
    case ArgumentType::text:
      if (value.is_string()) return value.get<std::string>();
      break;
  }
  return std::nullopt;
}

bool in_range(const Argument& argument, const ArgumentValue& value) {
  double number = 0;
  if (const auto* const whole = std::get_if<int64_t>(&value))
    number = static_cast<double>(*whole);
  else if (const auto* const real = std::get_if<double>(&value))
    number = *real;
  else
    return true;
  return std::isfinite(number) && number >= argument.low && number <= argument.high;
}

/// Puts one argument into the call. `Given` is text or JSON.
template <class Given>
void take(Call& call, const std::string& name, const Given& given, const std::string& shown) {
  const Action& action = *call.action;
  if (call.arguments.has(name))
    fail_usage({.where = action.name, .expected = "each argument once", .got = name + " twice"});
  const Argument* const argument = find_argument(action, name);
  if (argument != nullptr) {
    const std::optional<ArgumentValue> value = typed(*argument, given);
    if (!value || !in_range(*argument, *value)) refuse(action, *argument, shown);
    return call.arguments.set(name, *value);
  }
  if (action.further.empty()) {
    fail_usage({.where = action.name, .expected = usage_of(action), .got = fmt::format("an argument \"{}\"", name)});
  }
  if constexpr (std::is_same_v<Given, nlohmann::json>) {
    // Policies' parameters are read from text, whatever JSON has them as.
    call.arguments.set(name, given.is_string() ? given.template get<std::string>() : json_text(given));
  } else {
    call.arguments.set(name, given);
  }
}

void check_complete(const Call& call) {
  for (const Argument& each : call.action->arguments) {
    if (!each.required || call.arguments.has(each.name)) continue;
    fail_usage({.where = call.action->name,
                .expected = usage_of(*call.action),
                .got = "no " + each.name,
                .remedy = each.name + ": " + each.help});
  }
}

/// A word of a line: quotes and backslashes are gone.
struct Word {
  std::string name, text;  ///< without a name: an argument by its place
};

bool in_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

std::vector<Word> words_of(std::string_view line) {
  std::vector<Word> words;
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  for (size_t at = 0; at < line.size();) {
    if (blank(line[at])) {
      ++at;
      continue;
    }
    Word word;
    size_t end = at;
    while (end < line.size() && in_name(line[end])) ++end;
    if (end > at && end < line.size() && line[end] == '=') {
      word.name = line.substr(at, end - at);
      at = end + 1;
    }
    if (at < line.size() && line[at] == '"') {
      bool closed = false;
      for (++at; at < line.size() && !closed; ++at) {
        if (line[at] == '"')
          closed = true;
        else if (line[at] == '\\' && at + 1 < line.size())
          word.text += line[++at];
        else
          word.text += line[at];
      }
      if (!closed)
        fail_usage({.where = "action", .expected = "a quotation mark at the end of a text in quotes", .got = "none"});
    } else {
      while (at < line.size() && !blank(line[at])) word.text += line[at++];
    }
    words.push_back(std::move(word));
  }
  return words;
}

/// Nesting that a parser by recursion would follow to the end of its stack is no call.
bool too_deep(std::string_view line) {
  constexpr int kMostDepth = 32;
  int depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quoted && c == '\\')
      ++i;
    else if (c == '"')
      quoted = !quoted;
    else if (!quoted && (c == '[' || c == '{'))
      depth += 1;
    else if (!quoted && (c == ']' || c == '}'))
      depth -= 1;
    if (depth > kMostDepth) return true;
  }
  return false;
}

std::string quoted(const std::string& text) {
  const bool plain = !text.empty() && text.find_first_of(" \t\r\"\\=") == std::string::npos;
  if (plain) return text;
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

}  // namespace

Call Actions::parse(std::string_view line) const {
  const size_t from = line.find_first_not_of(" \t\r");
  if (from == std::string_view::npos) fail_usage({.where = "action", .expected = "a name", .got = "an empty line"});
  line.remove_prefix(from);
  if (line.front() == '{') {
    return read(read_json(line));
  }
  const size_t end = std::min(line.find_first_of(" \t\r"), line.size());
  return parse(get(line.substr(0, end)), line.substr(end));
}

Call Actions::parse(const Action& action, std::string_view arguments) const {
  Call call{&action};
  size_t place = 0;
  for (const Word& word : words_of(arguments)) {
    if (!word.name.empty()) {
      take(call, word.name, word.text, "\"" + word.text + "\"");
      continue;
    }
    while (place < action.arguments.size() && call.arguments.has(action.arguments[place].name)) ++place;
    if (place == action.arguments.size()) {
      fail_usage({.where = action.name, .expected = usage_of(action), .got = "\"" + word.text + "\" as well"});
    }
    take(call, action.arguments[place].name, word.text, "\"" + word.text + "\"");
  }
  check_complete(call);
  return call;
}

nlohmann::json read_json(std::string_view line) {
  if (too_deep(line)) fail_usage({.where = "action", .expected = "JSON", .got = "brackets within brackets"});
  nlohmann::json object = nlohmann::json::parse(line, nullptr, false);
  if (object.is_discarded()) {
    fail_usage({.where = "action", .expected = "JSON", .got = "\"" + std::string(line.substr(0, 80)) + "\""});
  }
  return object;
}

Call Actions::read(const nlohmann::json& object) const {
  const auto refuse_object = [&](const std::string& got) {
    fail_usage({.where = "action", .expected = R"({"action": "...", "args": {...}})", .got = got});
  };
  if (!object.is_object()) refuse_object(json_text(object).substr(0, 80));
  const auto name = object.find("action"), arguments = object.find("args");
  if (name == object.end() || !name->is_string()) refuse_object("no name of an action");
  Call call{&get(name->get_ref<const std::string&>())};
  if (arguments != object.end()) {
    if (!arguments->is_object()) refuse_object("args " + json_text(*arguments).substr(0, 80));
    for (const auto& [key, value] : arguments->items()) take(call, key, value, json_text(value).substr(0, 80));
  }
  check_complete(call);
  return call;
}

std::string usage_of(const Action& action) {
  std::string text = action.name;
  for (const Argument& each : action.arguments) {
    const char* const value = each.type == ArgumentType::flag   ? "true|false"
                              : each.type == ArgumentType::text ? "TEXT"
                                                                : "N";
    const std::string part = fmt::format("{}={}", each.name, value);
    text += each.required ? " " + part : " [" + part + "]";
  }
  if (!action.further.empty()) text += " NAME=VALUE ...";
  return text;
}

std::string to_line(const Call& call) {
  std::string line = call.action->name;
  for (const auto& [name, value] : call.arguments.all()) {
    line += " " + name + "=";
    if (const auto* const text = std::get_if<std::string>(&value))
      line += quoted(*text);
    else
      std::visit([&](const auto& each) { line += fmt::format("{}", each); }, value);
  }
  return line;
}

nlohmann::json to_json(const Arguments& arguments) {
  nlohmann::json out = nlohmann::json::object();
  for (const auto& [name, value] : arguments.all()) {
    std::visit([&, &key = name](const auto& each) { out[key] = each; }, value);
  }
  return out;
}

}  // namespace reattend::viz
