// Layers' shares of a value, and the forms in which settings files, case files and tables show it.
#include "policies/value_text.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

namespace reattend {
namespace {

/// Lists longer than this are shown by their ends.
constexpr size_t kShownEntries = 6;

/// Orders the entries of a list; fractions lie among counts as they do for a long prompt.
double size_of(const Value& entry) {
  constexpr double kPrompt = 1 << 20;
  if (const auto* count = std::get_if<int64_t>(&entry)) return static_cast<double>(*count);
  if (const auto* real = std::get_if<double>(&entry)) return *real;
  if (const auto* fraction = std::get_if<std::string>(&entry)) return kPrompt / std::stod(fraction->substr(2));
  return HUGE_VAL;  // never
}

}  // namespace

Value at_layer(const Value& value, int layer) {
  const auto at = static_cast<size_t>(layer);
  if (const auto* list = std::get_if<std::vector<int64_t>>(&value)) return list->at(at);
  if (const auto* list = std::get_if<std::vector<double>>(&value)) return list->at(at);
  if (const auto* list = std::get_if<std::vector<std::string>>(&value)) return list_entry(list->at(at));
  return value;
}

std::optional<size_t> list_size(const Value& value) {
  if (const auto* list = std::get_if<std::vector<int64_t>>(&value)) return list->size();
  if (const auto* list = std::get_if<std::vector<double>>(&value)) return list->size();
  if (const auto* list = std::get_if<std::vector<std::string>>(&value)) return list->size();
  return std::nullopt;
}

int64_t fraction_of(const std::string& fraction, int64_t n_prompt) {
  return n_prompt / std::stoll(fraction.substr(2));
}

nlohmann::json value_json(const Value& value) {
  return std::visit(
      [](const auto& x) -> nlohmann::json {
        if constexpr (std::is_same_v<std::decay_t<decltype(x)>, std::monostate>) {
          return nullptr;
        } else if constexpr (std::is_same_v<std::decay_t<decltype(x)>, std::vector<std::string>>) {
          nlohmann::json list = nlohmann::json::array();
          for (const std::string& text : x) {
            const Value entry = list_entry(text);
            const auto* number = std::get_if<int64_t>(&entry);
            list.push_back(number != nullptr ? nlohmann::json(*number) : nlohmann::json(text));
          }
          return list;
        } else {
          return x;
        }
      },
      value);
}

std::string ends_text(const Value& value) {
  const size_t n = list_size(value).value_or(0);
  if (n == 0) return to_text(value);
  std::vector<Value> entries;
  for (size_t i = 0; i < n; ++i) entries.push_back(at_layer(value, static_cast<int>(i)));
  const auto [low, high] = std::minmax_element(entries.begin(), entries.end(),
                                               [](const Value& a, const Value& b) { return size_of(a) < size_of(b); });
  return *low == *high ? to_text(*low) : fmt::format("{}..{}", to_text(*low), to_text(*high));
}

std::string short_text(const Parameter& parameter, const Value& value) {
  const size_t n = list_size(value).value_or(0);
  if (n <= kShownEntries) return to_text(value);
  if (parameter.type == ParamType::layer_list) return fmt::format("{} layers", n);
  const auto* reals = std::get_if<std::vector<double>>(&value);
  if (reals != nullptr) {
    std::vector<double> on;  // what switches a layer's gate off is no end of the gates' range
    std::copy_if(reals->begin(), reals->end(), std::back_inserter(on),
                 [&](double x) { return x <= parameter.off_above; });
    if (!on.empty()) return ends_text(on) + " by layer";
  }
  return ends_text(value) + " by layer";
}

std::string toml_text(const Value& value) {
  if (const auto* list = std::get_if<std::vector<std::string>>(&value)) {
    std::vector<std::string> entries;
    for (const std::string& text : *list) entries.push_back(toml_text(list_entry(text)));
    return fmt::format("[{}]", fmt::join(entries, ", "));
  }
  const bool quoted = std::holds_alternative<std::string>(value) || std::holds_alternative<std::monostate>(value);
  return fmt::format("{0}{1}{0}", quoted ? "\"" : "", to_text(value));
}

}  // namespace reattend
