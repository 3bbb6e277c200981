// The parameter table itself, and how its values are read from text, checked and written again.
#include "policies/params.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <type_traits>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"

namespace reattend {
namespace {

using namespace std::string_view_literals;

/// Counts stay below 2^30 so that sums of two of them and a position fit 32 bits.
constexpr double kMostCount = 1 << 30;
/// More layers than any model has; a longer list is a mistake.
constexpr size_t kMostEntries = 4096;

constexpr std::string_view kRecycled[] = {"recycled"};
constexpr std::string_view kStrided[] = {"recycled", "streaming_refresh"};
constexpr std::string_view kBudgeted[] = {"recycled",  "oracle", "streaming", "streaming_refresh", "h2o", "snapkv",
                                          "pyramidkv", "tova",   "quest",     "tokenselect"};
constexpr std::string_view kGated[] = {"recycled", "tokenselect"};
constexpr std::string_view kReducing[] = {"recycled", "oracle", "h2o", "snapkv", "pyramidkv"};
constexpr std::string_view kPooling[] = {"recycled", "oracle", "snapkv", "pyramidkv"};
constexpr std::string_view kDense[] = {"recycled", "quest"};
constexpr std::string_view kStreaming[] = {"streaming", "streaming_refresh"};
constexpr std::string_view kWindowed[] = {"snapkv", "pyramidkv"};
constexpr std::string_view kPyramid[] = {"pyramidkv"};
constexpr std::string_view kPaged[] = {"quest"};
constexpr std::string_view kTokenSelect[] = {"tokenselect"};

constexpr std::string_view kSchedules[] = {"fixed", "query"};
constexpr std::string_view kReductions[] = {"max", "mean", "first"};
constexpr std::string_view kQueries[] = {"pre_rope", "post_rope"};
constexpr std::string_view kSimilarities[] = {"mean_query", "mean_cosine", "min_cosine"};
constexpr std::string_view kGranularities[] = {"layer", "kv_head"};
constexpr std::string_view kRefreshes[] = {"attend", "score_only"};
constexpr std::string_view kRotations[] = {"absolute", "cache"};
constexpr std::string_view kSwitch[] = {"on", "off"};
constexpr std::string_view kAuto = "auto", kNever = "never";

Parameter count(std::string_view key, std::string_view flag, int64_t initial, double low,
                std::span<const std::string_view> policies, std::string_view unit, std::string_view help) {
  return {.key = key,
          .flag = flag,
          .type = ParamType::count,
          .initial = initial,
          .low = low,
          .high = kMostCount,
          .unit = unit,
          .policies = policies,
          .help = help};
}

Parameter choice(std::string_view key, std::string_view flag, std::span<const std::string_view> choices,
                 std::span<const std::string_view> policies, std::string_view help) {
  return {.key = key,
          .flag = flag,
          .type = ParamType::choice,
          .initial = std::string(choices.front()),
          .choices = choices,
          .policies = policies,
          .help = help};
}

std::vector<Parameter> make_table() {
  Parameter stride = count("S", "stride", 10, 1, kStrided, "steps",
                           "full attention is due at every S-th decode step; `never` refreshes nothing");
  stride.per_layer = stride.allows_never = true;
  Parameter budget = count("K", "budget", 64, 1, kBudgeted, "positions",
                           "cached positions attended to per KV head (recycled: on partial steps); L/8 is an eighth of "
                           "the prompt");
  budget.per_layer = budget.allows_fraction = budget.allows_auto = true;
  budget.initial_of_policy = {{"tokenselect", std::string(kAuto)}};
  Parameter pool = count("pool", "pool", 7, 1, kPooling, "positions",
                         "width of the centred running maximum over scores; odd, 1 is off");
  pool.high = 1023;
  pool.odd = true;
  const Parameter threshold = {.key = "threshold",
                               .flag = "threshold",
                               .type = ParamType::real,
                               .initial = 0.85,
                               .low = -1,
                               .high = 2,
                               .per_layer = true,
                               .unit = "cosine",
                               .policies = kGated,
                               .help =
                                   "recycled with schedule=query: a due step stays partial when the similarity is "
                                   "above this; tokenselect: the last selection serves while it is not below; above "
                                   "1 nothing stays",
                               .initial_of_policy = {{"tokenselect", 0.9}}};
  const Parameter dense = {.key = "dense_layers",
                           .flag = "dense-layers",
                           .type = ParamType::layer_list,
                           .initial = std::vector<int64_t>{},
                           .low = 0,
                           .high = kMostEntries - 1,
                           .unit = "layer indices",
                           .policies = kDense,
                           .help = "layers that always attend to everything",
                           .initial_of_policy = {{"quest", std::vector<int64_t>{0, 1}}}};
  Parameter window = count("window", "window", 32, 1, kWindowed, "positions",
                           "last prompt tokens: their queries choose, and they stay");
  window.initial_of_policy = {{"pyramidkv", int64_t{8}}};
  const auto part = [](std::string_view key, std::string_view flag, std::string_view help) {
    Parameter row = count(key, flag, 0, 0, kTokenSelect, "positions", help);
    row.initial = std::string(kAuto);
    row.allows_auto = true;
    return row;
  };
  Parameter page = count("page", "page", 16, 1, kPaged, "positions", "size of a page of cached positions");
  page.high = 4096;
  Parameter beta =
      count("beta", "beta", 20, 1, kPyramid, "1", "the last layer's share of the budget is 1/beta of the mean");
  beta.high = 1000;
  return {
      stride,
      budget,
      choice("schedule", "schedule", kSchedules, kRecycled,
             "fixed: every due step is full; query: a due step is full where the query has moved away"),
      threshold,
      choice("reduce", "reduce", kReductions, kReducing, "over the query heads of a KV head, before pooling"),
      pool,
      choice("similarity_query", "similarity-query", kQueries, kGated, "queries compared before or after RoPE"),
      choice("similarity_reduce", "similarity-reduce", kSimilarities, kRecycled,
             "cosine of the mean queries, or mean or minimum of the heads' cosines"),
      choice("granularity", "granularity", kGranularities, kRecycled,
             "who decides at a due step: the layer, or each KV head for itself"),
      dense,
      choice("refresh", "refresh", kRefreshes, kRecycled,
             "score_only: a full step rebuilds the kept set, its output still comes from the old one"),
      count("sinks", "sinks", 4, 0, kStreaming, "positions", "first positions that are always attended to"),
      choice("rotate", "rotate", kRotations, kStreaming,
             "keys at their absolute positions, or rotated again by their rank in the set"),
      window,
      beta,
      page,
      part("n_init", "n-init", "first positions that are always attended to; auto: 128, or K/16 where K is given"),
      part("n_local", "n-local", "last positions that are always attended to; auto: 512, or 7K/16 where K is given"),
      part("k", "n-middle", "positions selected between those; auto: 2048, or the rest of K where K is given"),
      choice("selection_cache", "selection-cache", kSwitch, kTokenSelect,
             "off: select anew at every step, however similar the query"),
  };
}

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
  if (parameter.allows_auto) text += ", auto";
  for (const auto& [policy, value] : parameter.initial_of_policy) {
    if (value == Value(std::string(kAuto))) text += fmt::format(" under {}", policy);
  }
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

std::span<const Parameter> parameters() {
  static const std::vector<Parameter> table = make_table();
  return table;
}

const Value& Parameter::initial_for(std::string_view policy) const {
  for (const auto& [name, value] : initial_of_policy) {
    if (name == policy) return value;
  }
  return initial;
}

bool Parameter::taken_by(std::string_view policy) const {
  return std::find(policies.begin(), policies.end(), policy) != policies.end();
}

const Parameter* find_parameter(std::string_view key_or_flag) {
  for (const Parameter& parameter : parameters()) {
    if (parameter.key == key_or_flag || parameter.flag == key_or_flag) return &parameter;
  }
  return nullptr;
}

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
