// Combines the values of a policy's parameters, and leaves out what the policy refuses.
#include "tune/grid.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <memory>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "policies/layer_schedule.h"
#include "policies/policy.h"
#include "policies/policy_list.h"
#include "policies/shared_parameters.h"
#include "policies/value_text.h"
#include "tune/tune.h"

namespace reattend {
namespace {

/// A due step that its gate leaves partial costs little, so a gate asks often.
constexpr std::string_view kTriedGateStrides[] = {"2", "4", "8"};

/// Of schedules by layer: coarser, for each layer has the whole menu, and further down.
constexpr std::string_view kMenuBudgets[] = {"L/2", "L/4", "L/8", "L/16", "L/32", "L/64"};
constexpr std::string_view kMenuStrides[] = {"4", "16", "64"};
constexpr std::string_view kMenuGateStrides[] = {"4"};
constexpr std::string_view kMenuThresholds[] = {"0.7", "0.8", "0.9"};

/// Stands for TuneGrid::gate_strides among keys of parameters.
constexpr std::string_view kGateStrides = "gate strides";

using Texts = std::span<const std::string_view>;

/// Without fractions that are 0 of a prompt of n_prompt tokens: nobody wrote them. 1 where none is left.
std::vector<Value> values_of(const Parameter& parameter, Texts texts, int32_t n_prompt) {
  std::vector<Value> values;
  for (const std::string_view text : texts) {
    Value value = parse_value(parameter, text);
    const auto* const fraction = parameter.allows_fraction ? std::get_if<std::string>(&value) : nullptr;
    if (fraction == nullptr || fraction_of(*fraction, n_prompt) > 0) values.push_back(std::move(value));
  }
  if (values.empty()) values.emplace_back(int64_t{1});
  return values;
}

bool is_gated(const Settings& settings) {
  return settings.decides(kThreshold.key);
}

Texts tried_at(const Parameter& parameter, const Settings& at) {
  return &parameter == &kStride && is_gated(at) ? Texts(kTriedGateStrides) : parameter.tried;
}

Texts menu_at(const Parameter& parameter, const Settings& at) {
  if (&parameter == &kBudget) return kMenuBudgets;
  if (&parameter == &kStride) return is_gated(at) ? Texts(kMenuGateStrides) : Texts(kMenuStrides);
  return &parameter == &kThreshold ? Texts(kMenuThresholds) : parameter.tried;
}

/// Budgets outermost, so that rankings are prepared at their greatest depth at once; then what others depend on.
int order_of(const PolicyParameter& taken) {
  if (taken.parameter == &kBudget) return 0;
  if (taken.when.parameter != nullptr) return 4;
  return taken.parameter->type == ParamType::count ? 2 : taken.parameter->type == ParamType::real ? 3 : 1;
}

class Combinations {
 public:
  Combinations(const TuneGrid& grid, const Settings& base, std::span<const TraceInfo* const> traces,  // [n_trace]
               Texts (*otherwise)(const Parameter&, const Settings&))
      : grid_(grid), base_(base), otherwise_(otherwise), n_prompt_(traces.front()->n_prompt) {
    for (const TraceInfo* const each : traces) n_prompt_ = std::min(n_prompt_, each->n_prompt);
    for (const PolicyParameter& each : base.info().parameters) {
      const Parameter& parameter = *each.parameter;
      if (grid.tried.contains(parameter.key) || !parameter.tried.empty()) axes_.push_back(&each);
    }
    std::stable_sort(axes_.begin(), axes_.end(),
                     [](const PolicyParameter* a, const PolicyParameter* b) { return order_of(*a) < order_of(*b); });
  }

  const std::vector<const PolicyParameter*>& axes() const { return axes_; }
  int32_t shortest_prompt() const { return n_prompt_; }

  /// `is_fixed`: parameters that stay at the first of their values.
  std::vector<Settings> make(const std::function<bool(const Parameter&)>& is_fixed) {
    is_fixed_ = is_fixed;
    add(0, base_);
    return std::move(out_);
  }

  /// Lists of the grid that were taken somewhere, by their keys; kGateStrides for those of gates.
  const std::set<std::string, std::less<>>& used() const { return used_; }

 private:
  void add(size_t axis, const Settings& settings) {
    if (axis == axes_.size()) {
      if (std::find(out_.begin(), out_.end(), settings) == out_.end()) out_.push_back(settings);
      return;
    }
    const PolicyParameter& taken = *axes_[axis];
    Settings next = settings;
    std::vector<Value> values = {taken.initial};  // where another parameter keeps it from deciding
    if (settings.decides(taken.parameter->key)) values = values_at(*taken.parameter, settings);
    if (is_fixed_(*taken.parameter)) values.resize(1);
    for (const Value& value : values) {
      next.set(taken.parameter->key, value);
      add(axis + 1, next);
    }
  }

  std::vector<Value> values_at(const Parameter& parameter, const Settings& at) {
    const bool gate_strides = &parameter == &kStride && is_gated(at);
    const auto given = grid_.tried.find(parameter.key);
    if (gate_strides && !grid_.gate_strides.empty()) {
      used_.insert(std::string(kGateStrides));
      return grid_.gate_strides;
    }
    if (!gate_strides && given != grid_.tried.end()) {
      used_.insert(given->first);
      return given->second;
    }
    return values_of(parameter, otherwise_(parameter, at), n_prompt_);
  }

  const TuneGrid& grid_;
  const Settings& base_;
  Texts (*otherwise_)(const Parameter&, const Settings&);
  int32_t n_prompt_;  ///< of the shortest trace
  std::function<bool(const Parameter&)> is_fixed_;
  std::vector<const PolicyParameter*> axes_;
  std::vector<Settings> out_;
  std::set<std::string, std::less<>> used_;
};

/// Throws Error where the setting does not fit the trace.
void check_fits(const Settings& settings, const TraceInfo& trace) {
  const std::unique_ptr<Policy> policy = make_policy(settings, trace.run_shape());
  if (!policy->needs().row_sums || trace.has_prompt_row_sums) return;
  fail({.where = trace.path.string(),
        .expected = "sums of the prompt's attention rows",
        .got = "a trace without them",
        .remedy = "record it with --prompt-rows, the default"});
}

/// Moves what does not fit one of the traces out of the settings.
void leave_out_misfits(GridSettings& out, std::span<const TraceInfo* const> traces) {  // [n_trace]
  std::erase_if(out.settings, [&](const Settings& each) {
    try {
      for (const TraceInfo* const trace : traces) check_fits(each, *trace);
      return false;
    } catch (const Error& error) {
      out.left_out.push_back({each, error.what()});
      return true;
    }
  });
}

void refuse_lists_of_others(const TuneGrid& grid) {
  for (const auto& [key, values] : grid.tried) {
    const Parameter* const parameter = find_parameter(key);
    if (parameter == nullptr) fail_usage({"--sweep", "a parameter's name", "\"" + key + "\""});
    const auto takes = [&key = key](const Settings& base) { return base.takes(key); };
    if (std::any_of(grid.bases.begin(), grid.bases.end(), takes)) continue;
    refuse_parameter(list_option(*parameter), *parameter, policy_names_of(grid.bases));
  }
}

[[noreturn]] void refuse_unused(const std::string& option, const char* decides) {
  fail_usage({.where = option,
              .expected = fmt::format("a sweep with settings in which {}", decides),
              .got = "none",
              .remedy = "leave it out"});
}

void refuse_unused_lists(const TuneGrid& grid, const std::set<std::string, std::less<>>& used) {
  if (!grid.gate_strides.empty() && !used.contains(kGateStrides)) {
    refuse_unused("--gate-strides", "a threshold decides at a due step");
  }
  for (const auto& [key, values] : grid.tried) {
    if (used.contains(key)) continue;
    const bool strides = key == kStride.key;  // gates have lists of their own
    refuse_unused(list_option(*find_parameter(key)), strides ? "no threshold decides at a due step" : "it decides");
  }
}

[[noreturn]] void refuse_policy_without_axes(const Settings& base) {
  std::vector<std::string_view> names;
  for (const PolicyInfo& info : policy_registry()) {
    if (has_axes(info)) names.push_back(info.name);
  }
  fail_usage({.where = "tune",
              .expected = fmt::format("a policy that has something to sweep ({})", fmt::join(names, ", ")),
              .got = base.policy()});
}

/// Settings of one policy, largest budgets first.
std::vector<Settings> settings_of(Combinations& combinations, const Settings& base) {
  std::vector<Settings> out = combinations.make([](const Parameter&) { return false; });
  if (base.takes(kBudget.key) && !out.front().is_auto(kBudget.key)) {
    const int32_t n_prompt = combinations.shortest_prompt();  // of which a budget that somebody gave may be 0: refused
    std::stable_sort(out.begin(), out.end(), [&](const Settings& a, const Settings& b) {
      return a.count(kBudget.key, 0, n_prompt) > b.count(kBudget.key, 0, n_prompt);
    });
  }
  return out;
}

}  // namespace

bool has_axes(const PolicyInfo& policy) {
  return std::any_of(policy.parameters.begin(), policy.parameters.end(),
                     [](const PolicyParameter& each) { return !each.parameter->tried.empty(); });
}

GridSettings make_grid(const TuneGrid& grid, std::span<const TraceInfo* const> traces) {  // [n_trace]
  refuse_lists_of_others(grid);
  GridSettings out;
  std::set<std::string, std::less<>> used;
  for (const Settings& base : grid.bases) {
    Combinations combinations(grid, base, traces, tried_at);
    if (combinations.axes().empty()) refuse_policy_without_axes(base);
    std::vector<Settings> all = settings_of(combinations, base);
    std::move(all.begin(), all.end(), std::back_inserter(out.settings));
    used.insert(combinations.used().begin(), combinations.used().end());
  }
  refuse_unused_lists(grid, used);
  leave_out_misfits(out, traces);
  if (out.settings.empty()) {
    const LeftOut& first = out.left_out.front();
    fail_usage(
        {"tune", "a setting that fits the traces", fmt::format("{}: {}", first.settings.summary(), first.reason)});
  }
  for (const Settings& each : grid.more) {
    if (std::find(out.settings.begin(), out.settings.end(), each) == out.settings.end()) out.settings.push_back(each);
  }
  return out;
}

GridSettings schedule_menu(const TuneGrid& grid, const Settings& base,
                           std::span<const TraceInfo* const> traces) {  // [n_trace]
  Combinations combinations(grid, base, traces, menu_at);
  const PolicyInfo& policy = base.info();
  const auto is_fixed = [&](const Parameter& parameter) { return !may_differ_by_layer(policy, parameter); };
  const std::vector<const PolicyParameter*>& axes = combinations.axes();
  GridSettings out;
  if (std::all_of(axes.begin(), axes.end(), [&](const PolicyParameter* each) { return is_fixed(*each->parameter); })) {
    return out;
  }
  out.settings = combinations.make(is_fixed);
  leave_out_misfits(out, traces);
  return out;
}

std::string list_option(const Parameter& parameter) {
  if (&parameter == &kBudget) return "--budgets";
  if (&parameter == &kStride) return "--strides";
  if (&parameter == &kThreshold) return "--thresholds";
  return fmt::format("--sweep {}", parameter.key);
}

}  // namespace reattend
