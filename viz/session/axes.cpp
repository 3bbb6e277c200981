// Makes axes of what parameters say of themselves; nothing about a policy is written here.
#include "viz/session/axes.h"

#include <algorithm>
#include <cmath>

#include "policies/policy.h"
#include "policies/shared_parameters.h"
#include "policies/value_text.h"

namespace reattend::viz {
namespace {

double number_of(const Value& value, int32_t n_prompt) {
  if (const auto* count = std::get_if<int64_t>(&value)) return static_cast<double>(*count);
  if (const auto* real = std::get_if<double>(&value)) return *real;
  const auto* text = std::get_if<std::string>(&value);
  if (text != nullptr && text->starts_with("L/")) return static_cast<double>(fraction_of(*text, n_prompt));
  return std::nan("");
}

struct Entry {
  Value value;
  double number;
  bool tried;
};

/// Values that the tuner tries, ascending, without those that are none of a prompt so short.
std::vector<Entry> tried_of(const Parameter& parameter, int32_t n_prompt) {
  std::vector<Entry> out;
  const auto add = [&](std::string_view text) {
    Value value = parse_value(parameter, text);
    const double number = number_of(value, n_prompt);
    if (std::isnan(number) || (parameter.type == ParamType::count && number < 1)) return;
    out.push_back({std::move(value), number, true});
  };
  for (const std::string_view text : parameter.tried) add(text);
  // Schedules by layer go further down than a whole model would.
  if (parameter.key == kBudget.key) add("L/64");
  std::ranges::sort(out, {}, &Entry::number);
  const auto twice = std::ranges::unique(out, {}, &Entry::number);
  out.erase(twice.begin(), twice.end());
  return out;
}

Axis make_axis(const Parameter& parameter, int32_t n_prompt) {
  Axis axis;
  const std::vector<Entry> tried = tried_of(parameter, n_prompt);
  if (tried.size() < 2) return axis;
  const bool whole = parameter.type == ParamType::count;
  axis.key = parameter.key, axis.logarithmic = whole;
  const auto add = [&](const Value& value, double number, bool is_tried) {
    axis.values.push_back(value), axis.numbers.push_back(number), axis.tried.push_back(is_tried);
  };
  for (size_t i = 0; i < tried.size(); ++i) {
    if (i > 0) {
      const double a = tried[i - 1].number, b = tried[i].number;
      const double between = whole ? std::round(std::sqrt(a * b)) : (a + b) / 2;
      if (between > a && between < b) {
        add(whole ? Value(static_cast<int64_t>(between)) : Value(between), between, false);
      }
    }
    add(tried[i].value, tried[i].number, true);
  }
  return axis;
}

}  // namespace

double Axis::place(double number) const {
  if (key.empty()) return 0;
  const auto last = static_cast<double>(size() - 1);
  if (number < numbers.front()) return -0.5;
  if (number > numbers.back()) return last + 0.5;
  const auto above = std::ranges::lower_bound(numbers, number);
  const auto i = static_cast<size_t>(above - numbers.begin());
  if (i == 0) return 0;
  const double a = numbers[i - 1], b = numbers[i];
  const double part = logarithmic ? std::log(number / a) / std::log(b / a) : (number - a) / (b - a);
  return static_cast<double>(i) - 1 + part;
}

Axes axes_of(const Settings& settings, const TraceInfo& info) {
  Axes out;
  for (const PolicyParameter& each : settings.info().parameters) {
    const Parameter& parameter = *each.parameter;
    const bool numeric = parameter.type == ParamType::count || parameter.type == ParamType::real;
    if (!numeric || !settings.decides(parameter.key)) continue;
    Axis axis = make_axis(parameter, info.n_prompt);
    if (axis.key.empty()) continue;
    if (axis.key == kBudget.key) {
      out.upwards = std::move(axis);
    } else if (axis.key == kStride.key || (out.across.key != kStride.key && axis.size() > out.across.size())) {
      out.across = std::move(axis);
    }
  }
  return out;
}

Axis threshold_axis(const Settings& settings, const Axes& axes) {
  if (!settings.takes(kThreshold.key) || axes.across.key == kThreshold.key) return {};
  return make_axis(kThreshold, 0);
}

double number_of(const Settings& settings, const Axis& axis, int32_t n_prompt) {
  return axis.key.empty() ? 0 : number_of(settings.get(axis.key), n_prompt);
}

Settings at_places(Settings settings, const Axis& axis, size_t place) {
  if (axis.key.empty()) return settings;
  settings.set(axis.key, axis.values[place]);
  settings.let_decide(axis.key);
  return settings;
}

}  // namespace reattend::viz
