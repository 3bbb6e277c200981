// Reads values of parameters from text, checks them and writes them again.
#include "policies/params.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <type_traits>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"

namespace reattend {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kAuto = "auto", kNever = "never";

/// The whole of `text` as a number, nothing around it.
template <class T>
std::optional<T> parse_number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string_view trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  return first == text.npos ? ""sv : text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// "L/8": the divisor must be a count.
bool is_fraction(std::string_view text) {
  if (!text.starts_with("L/")) return false;
  const auto divisor = parse_number<int64_t>(text.substr(2));
  return divisor && *divisor >= 1 && *divisor <= static_cast<int64_t>(kMostCount);
}

std::string expected(const Parameter& parameter) {
  if (parameter.type == ParamType::choice) return fmt::format("one of {}", fmt::join(parameter.choices, ", "));
  const bool real = parameter.type == ParamType::real;
  std::string text = fmt::format("{} from {} to {}",
                                 real            ? "a number"
                                 : parameter.odd ? "an odd integer"
                                                 : "an integer",
                                 parameter.low, parameter.high);
  if (parameter.type == ParamType::layer_list) return "a list of different layer indices, such as [0, 1]";
  if (parameter.allows_fraction) text += ", a fraction of the prompt such as L/8";
  if (parameter.allows_never) text += ", never";
  if (parameter.allows_auto) text += ", auto (where it follows from others)";
  if (parameter.per_layer) text += ", or a list with one for each layer";
  return text;
}

bool in_range(const Parameter& parameter, double value) {
  return value >= parameter.low && value <= parameter.high;  // false for nan
}

bool number_fits(const Parameter& parameter, int64_t value) {
  return in_range(parameter, static_cast<double>(value)) && (!parameter.odd || value % 2 == 1);
}

/// Whether a list may have entries that are no numbers.
bool takes_texts(const Parameter& parameter) {
  return parameter.type == ParamType::count && parameter.per_layer &&
         (parameter.allows_fraction || parameter.allows_never);
}

template <class T>
bool list_fits(const Parameter& parameter, const std::vector<T>& list) {
  const bool right_type = parameter.type == ParamType::layer_list ||
                          (parameter.per_layer && (parameter.type == ParamType::real || std::is_same_v<T, int64_t>));
  if (!right_type || list.size() > kMostEntries) return false;
  if (parameter.type != ParamType::layer_list && list.empty()) return false;
  for (const T value : list) {
    if (!in_range(parameter, static_cast<double>(value))) return false;
  }
  if (parameter.type != ParamType::layer_list) return true;
  std::vector<T> sorted = list;
  std::sort(sorted.begin(), sorted.end());
  return std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end();
}

bool list_fits(const Parameter& parameter, const std::vector<std::string>& list);

bool fits(const Parameter& parameter, const Value& value) {
  const bool number = parameter.type == ParamType::count || parameter.type == ParamType::real;
  if (std::holds_alternative<std::monostate>(value)) return parameter.allows_never;
  if (const auto* x = std::get_if<int64_t>(&value)) return number && number_fits(parameter, *x);
  if (const auto* x = std::get_if<double>(&value)) return parameter.type == ParamType::real && in_range(parameter, *x);
  if (const auto* x = std::get_if<std::string>(&value)) {
    if (parameter.type == ParamType::choice) {
      return std::find(parameter.choices.begin(), parameter.choices.end(), *x) != parameter.choices.end();
    }
    return (parameter.allows_fraction && is_fraction(*x)) || (parameter.allows_auto && *x == kAuto);
  }
  if (const auto* x = std::get_if<std::vector<int64_t>>(&value)) return list_fits(parameter, *x);
  if (const auto* x = std::get_if<std::vector<double>>(&value)) {
    return parameter.type == ParamType::real && list_fits(parameter, *x);
  }
  if (const auto* x = std::get_if<std::vector<std::string>>(&value)) return list_fits(parameter, *x);
  return false;
}

bool list_fits(const Parameter& parameter, const std::vector<std::string>& list) {
  if (!takes_texts(parameter) || list.empty() || list.size() > kMostEntries) return false;
  return std::all_of(list.begin(), list.end(), [&](const std::string& entry) {
    if (entry == kNever) return parameter.allows_never;
    if (is_fraction(entry)) return parameter.allows_fraction;
    const auto number = parse_number<int64_t>(entry);
    return number && number_fits(parameter, *number);
  });
}

/// nullopt when `read` has nothing for an entry, or when there are too many to be meant.
template <class T>
std::optional<std::vector<T>> parse_list(std::string_view text, std::optional<T> (*read)(std::string_view)) {
  std::vector<T> list;
  for (text = trim(text); !text.empty();) {
    const size_t comma = text.find(',');
    const auto value = read(trim(text.substr(0, comma)));
    if (!value || list.size() == kMostEntries) return std::nullopt;
    list.push_back(*value);
    if (comma == text.npos) break;
    text = trim(text.substr(comma + 1));
    if (text.empty()) return std::nullopt;  // "1," misses a number
  }
  return list;
}

/// A count in its plain form, "L/8", or "never".
std::optional<std::string> parse_entry(std::string_view text) {
  if (text == kNever || is_fraction(text)) return std::string(text);
  const auto number = parse_number<int64_t>(text);
  if (!number) return std::nullopt;
  return fmt::format("{}", *number);
}

template <class T>
std::optional<Value> parse_numbers(const Parameter& parameter, std::string_view text) {
  const bool bracketed = text.size() >= 2 && text.front() == '[' && text.back() == ']';
  if (bracketed || parameter.type == ParamType::layer_list || text.find(',') != text.npos) {
    const std::string_view entries = bracketed ? text.substr(1, text.size() - 2) : text;
    if (auto list = parse_list<T>(entries, parse_number<T>)) return Value(*std::move(list));
    if (!takes_texts(parameter)) return std::nullopt;
    auto list = parse_list<std::string>(entries, parse_entry);
    if (!list) return std::nullopt;
    return Value(*std::move(list));
  }
  const auto number = parse_number<T>(text);
  if (!number) return std::nullopt;
  return Value(*number);
}

}  // namespace

Value parse_value(const Parameter& parameter, std::string_view text) {
  const std::string_view trimmed = trim(text);
  std::optional<Value> value;
  if (parameter.allows_never && trimmed == kNever) {
    value = Value(std::monostate{});
  } else if (parameter.type == ParamType::choice || (parameter.allows_fraction && is_fraction(trimmed)) ||
             (parameter.allows_auto && trimmed == kAuto)) {
    value = Value(std::string(trimmed));
  } else if (parameter.type == ParamType::real) {
    value = parse_numbers<double>(parameter, trimmed);
  } else {
    value = parse_numbers<int64_t>(parameter, trimmed);
  }
  if (!value || !fits(parameter, *value)) {
    fail_usage({.where = fmt::format("--{}", parameter.flag),
                .expected = expected(parameter),
                .got = fmt::format("\"{}\"", text),
                .remedy = {}});
  }
  return *value;
}

Value list_entry(const std::string& text) {
  if (text == kNever) return {};
  if (is_fraction(text)) return text;
  const auto number = parse_number<int64_t>(text);
  if (!number) throw Error(fmt::format("settings: \"{}\" is no entry of a list", text));
  return *number;
}

void check_value(const Parameter& parameter, const Value& value, const std::string& where) {
  if (fits(parameter, value)) return;
  const auto* text = std::get_if<std::string>(&value);
  const bool quoted_number = text != nullptr && parse_number<double>(*text) && parameter.type != ParamType::choice;
  const Complaint complaint = {
      .where = where.empty() ? std::string(parameter.key) : fmt::format("{}: {}", where, parameter.key),
      .expected = expected(parameter),
      .got = text != nullptr ? fmt::format("the text \"{}\"", *text) : to_text(value),
      .remedy = quoted_number ? "numbers stand without quotes" : ""};
  where.empty() ? fail_usage(complaint) : fail(complaint);
}

std::string to_text(const Value& value) {
  struct Writer {
    std::string operator()(std::monostate) const { return std::string(kNever); }
    std::string operator()(bool x) const { return x ? "true" : "false"; }
    std::string operator()(int64_t x) const { return fmt::format("{}", x); }
    std::string operator()(double x) const { return fmt::format("{:#}", x); }  // "1.0": TOML's way to say a real
    std::string operator()(const std::string& x) const { return x; }
    std::string operator()(const std::vector<int64_t>& x) const { return fmt::format("[{}]", fmt::join(x, ", ")); }
    std::string operator()(const std::vector<double>& x) const {
      std::string text;
      for (const double entry : x) text += (text.empty() ? "" : ", ") + (*this)(entry);
      return "[" + text + "]";
    }
    std::string operator()(const std::vector<std::string>& x) const { return fmt::format("[{}]", fmt::join(x, ", ")); }
  };
  return std::visit(Writer{}, value);
}

}  // namespace reattend
