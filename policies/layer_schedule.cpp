// Reads strides, budgets and gates of layers out of settings, and makes one setting of several layers'.
#include "policies/layer_schedule.h"

#include <algorithm>
#include <functional>

#include <fmt/format.h>

#include "base/error.h"
#include "policies/policy.h"
#include "policies/shared_parameters.h"
#include "policies/value_text.h"

namespace reattend {
namespace {

/// Of layers that are gated: parameters that decide in some layers and are off in the others.
bool is_switched(const PolicyParameter& taken) {
  return taken.when.parameter != nullptr && taken.parameter->per_layer &&
         taken.parameter->high > taken.parameter->off_above;
}

/// Layers' values of a parameter as one list.
Value list_of(std::span<const Settings> layers, const Parameter& parameter) {  // [n_layer]
  std::vector<std::string> texts;
  std::vector<double> reals;
  for (const Settings& each : layers) {
    const Value value = at_layer(each.get(parameter.key), static_cast<int>(texts.size()));
    texts.push_back(to_text(value));
    if (const auto* const real = std::get_if<double>(&value)) reals.push_back(*real);
  }
  if (parameter.type == ParamType::real) return reals;
  return texts;
}

[[noreturn]] void refuse_to_differ(std::string_view key) {
  fail({.where = "schedule by layer", .expected = fmt::format("one value of {} in all layers", key), .got = "several"});
}

}  // namespace

size_t LayerSchedule::n_layer() const {
  for (const Parameter* const each : {&kStride, &kBudget, &kThreshold}) {
    if (!settings_.takes(each->key)) continue;
    if (const auto n = list_size(settings_.get(each->key))) return *n;
  }
  return 0;
}

std::optional<Value> LayerSchedule::at(std::string_view key, int layer) const {
  if (!settings_.takes(key)) return std::nullopt;
  return at_layer(settings_.get(key), layer);
}

std::optional<double> LayerSchedule::gate(int layer) const {
  if (!settings_.decides(kThreshold.key)) return std::nullopt;
  const double threshold = settings_.real(kThreshold.key, layer);
  return threshold > kThreshold.off_above ? std::nullopt : std::optional(threshold);
}

bool LayerSchedule::any_gate() const {
  for (size_t layer = 0; layer < std::max<size_t>(n_layer(), 1); ++layer) {
    if (gate(static_cast<int>(layer))) return true;
  }
  return false;
}

bool may_differ_by_layer(const PolicyInfo& policy, const Parameter& parameter) {
  return parameter.per_layer ||
         std::any_of(policy.parameters.begin(), policy.parameters.end(), [&](const PolicyParameter& each) {
           return each.when.parameter == &parameter && is_switched(each);
         });
}

Settings join_layers(std::span<const Settings> layers) {
  Settings out = layers.front();
  if (std::adjacent_find(layers.begin(), layers.end(), std::not_equal_to()) == layers.end()) return out;
  for (const PolicyParameter& taken : out.info().parameters) {
    const Parameter& parameter = *taken.parameter;
    const auto decides = [&](const Settings& each) { return each.decides(parameter.key); };
    if (is_switched(taken)) {
      if (std::none_of(layers.begin(), layers.end(), decides)) continue;
      std::vector<Settings> switched(layers.begin(), layers.end());
      for (Settings& each : switched) {
        if (!decides(each)) each.set(parameter.key, parameter.high);
      }
      out.let_decide(parameter.key);
      out.set(parameter.key, list_of(switched, parameter));
    } else if (parameter.per_layer && !out.is_auto(parameter.key)) {
      out.set(parameter.key, list_of(layers, parameter));
    } else if (!may_differ_by_layer(out.info(), parameter)) {
      const auto other = [&](const Settings& each) { return each.get(parameter.key) != out.get(parameter.key); };
      if (std::any_of(layers.begin(), layers.end(), other)) refuse_to_differ(parameter.key);
    }
  }
  return out;
}

}  // namespace reattend
