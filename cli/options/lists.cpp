// Parses lists between commas, each entry checked by itself: layers, counts, values of a parameter.
#include "cli/options/lists.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "base/error.h"
#include "policies/policy_list.h"

namespace reattend::cli {
namespace {

/// What stands between commas; nothing for an empty text.
std::vector<std::string_view> parts_of(std::string_view text) {
  std::vector<std::string_view> parts;
  for (size_t begin = 0; !text.empty() && begin <= text.size();) {
    const size_t comma = std::min(text.find(',', begin), text.size());
    parts.push_back(text.substr(begin, comma - begin));
    begin = comma + 1;
  }
  return parts;
}

std::optional<int32_t> number(std::string_view text) {
  int32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 0) return {};
  return value;
}

}  // namespace

std::vector<int32_t> parse_layers(const std::string& text, int32_t n_layer) {
  std::vector<int32_t> layers;
  for (const std::string_view part : parts_of(text)) {
    const size_t dash = part.find('-');
    const auto first = number(part.substr(0, dash));
    const auto last = dash == part.npos ? first : number(part.substr(dash + 1));
    if (!first || !last || *last < *first || *last >= n_layer) {
      fail_usage({.where = "--layers",
                  .expected = fmt::format("layers and ranges of them from 0 to {}, such as 0,3,10-12", n_layer - 1),
                  .got = fmt::format("\"{}\"", text),
                  .remedy = {}});
    }
    for (int32_t l = *first; l <= *last; ++l) layers.push_back(l);
  }
  return layers;
}

std::vector<int32_t> parse_counts(const std::string& option, const std::string& text) {
  constexpr int32_t kMost = 1 << 24;
  std::vector<int32_t> out;
  for (const std::string_view part : parts_of(text)) {
    const auto value = number(part);
    if (!value || *value < 1 || *value > kMost) {
      fail_usage({.where = option,
                  .expected = fmt::format("numbers from 1 to {} with commas between", kMost),
                  .got = fmt::format("\"{}\"", text),
                  .remedy = {}});
    }
    out.push_back(*value);
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

std::vector<Value> parse_each(const Parameter& parameter, std::string_view flag, std::string_view text) {
  Parameter one = parameter;
  one.flag = flag, one.per_layer = false;
  std::vector<Value> values;
  if (text.empty()) return values;
  for (const std::string_view part : cut_outside_brackets(text, ",")) values.push_back(parse_value(one, part));
  return values;
}

}  // namespace reattend::cli
