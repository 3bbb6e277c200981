// Makes a tuner's grid of what was typed: --policy, --policies, --budgets and their like.
#include "cli/options/grid_options.h"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "cli/options/lists.h"
#include "policies/policy_list.h"
#include "policies/shared_parameters.h"

namespace reattend::cli {
namespace {

/// In --policies: every policy that has something to sweep.
constexpr std::string_view kAll = "all";

bool any_takes(const std::vector<Settings>& bases, std::string_view key) {
  return std::any_of(bases.begin(), bases.end(), [&](const Settings& each) { return each.takes(key); });
}

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\n"), last = text.find_last_not_of(" \t\n");
  return first == text.npos ? std::string_view() : text.substr(first, last - first + 1);
}

/// The entries of --policies: names alone are swept, if they have something to sweep; others are settings as they
/// stand.
struct PolicyEntries {
  std::vector<std::string_view> swept;
  std::vector<Settings> settings;
};
PolicyEntries entries_of(const std::string& text) {
  PolicyEntries out;
  if (text.empty()) return out;
  for (const std::string_view piece : cut_outside_brackets(text, ",")) {
    const std::string_view entry = trimmed(piece);
    const PolicyInfo* const named = find_policy(entry);
    if (entry == kAll) {
      for (const PolicyInfo& info : policy_registry()) {
        if (has_axes(info)) out.swept.push_back(info.name);
      }
    } else if (named != nullptr && has_axes(*named)) {
      out.swept.push_back(entry);
    } else if (entry == kFullAttention) {
      fail_usage({.where = "--policies",
                  .expected = "policies that have something to sweep, or settings",
                  .got = std::string(entry),
                  .remedy = "leave it out: every setting is held against full attention"});
    } else {
      out.settings.push_back(parse_policies(entry, {}).front());
    }
  }
  return out;
}

/// One for each policy that is swept, without the parameters' own options.
std::vector<Settings> bases_of(const PolicyOptions& policy, const PolicyEntries& entries) {
  std::vector<Settings> bases;
  const bool named = !policy.policy.empty() || !policy.file.empty();
  if (named || entries.swept.empty()) bases.push_back(policy.base());
  for (const std::string_view name : entries.swept) {
    const auto is_it = [&](const Settings& each) { return each.policy() == name; };
    if (std::none_of(bases.begin(), bases.end(), is_it)) bases.emplace_back(name);
  }
  return bases;
}

/// What is swept has lists of its own.
void refuse_single_values(const PolicyOptions& policy, const std::vector<Settings>& bases) {
  for (const auto& [key, value] : policy.given) {
    const Parameter& parameter = *find_parameter(key);
    if (!PolicyOptions::is_listed(parameter)) continue;
    const std::string list = list_option(parameter), where = fmt::format("--{}", parameter.flag);
    if (!any_takes(bases, key)) {
      fail_usage({where,
                  fmt::format("{}, and a policy that takes it ({})", list, fmt::join(takers_of(parameter), ", ")),
                  policy_names_of(bases)});
    }
    fail_usage({.where = where,
                .expected = fmt::format("{}{}: a sweep tries several values", list,
                                        &parameter == &kStride ? " or --gate-strides" : ""),
                .got = reattend::to_text(value),
                .remedy = "`reattend replay` shows a single setting"});
  }
}

/// Adds the list of a parameter; one that has a list already is refused.
void add_list(TuneGrid& grid, const Parameter& parameter, std::vector<Value> values) {
  if (values.empty()) return;
  if (grid.tried.try_emplace(std::string(parameter.key), std::move(values)).second) return;
  fail_usage({"--sweep", fmt::format("one list of {}", parameter.key), "two", "leave one of them out"});
}

/// "KEY=V,V,.."
void add_sweep(TuneGrid& grid, const std::string& text) {
  const size_t equals = text.find('=');
  const Parameter* const parameter = find_parameter(text.substr(0, equals));
  if (parameter == nullptr || equals == text.npos || equals + 1 == text.size()) {
    std::vector<std::string_view> keys;
    for (const Parameter* const each : parameters()) {
      if (any_takes(grid.bases, each->key)) keys.push_back(each->key);
    }
    fail_usage({"--sweep",
                fmt::format("KEY=V,V,.. of a parameter of {} ({})", policy_names_of(grid.bases), fmt::join(keys, ", ")),
                "\"" + text + "\""});
  }
  add_list(grid, *parameter, parse_each(*parameter, fmt::format("sweep {}", parameter->key), text.substr(equals + 1)));
}

}  // namespace

void GridOptions::add_to(CLI::App& command) {
  policy.initial = kDefaultPolicy, policy.sweeps = true;
  command
      .add_option(
          "--policies", policies,
          "Swept instead of recycled, or besides --policy: NAMES parted by commas, or all; NAME:KEY=VALUE... is "
          "one setting besides the sweep")
      ->type_name("LIST");
  command.add_option("--budgets", budgets, "Budgets to try, such as L/8,512 (default L/2 to L/32)")
      ->type_name("K,K,..");
  command.add_option("--strides", strides, "Strides to try where no threshold decides (default 2 to 64)")
      ->type_name("S,S,..");
  command.add_option("--gate-strides", gate_strides, "Strides to try where a threshold decides (default 2,4,8)")
      ->type_name("S,S,..");
  command.add_option("--thresholds", thresholds, "Thresholds to try (default 0.7 to 0.95)")->type_name("X,X,..");
  command
      .add_option("--sweep", sweeps,
                  "Values to try of another parameter of the policies, such as window=16,32; may be repeated")
      ->type_name("KEY=V,V,..")
      ->allow_extra_args(false);
  policy.add_to(command);
}

TuneGrid GridOptions::grid() const {
  PolicyEntries entries = entries_of(policies);
  TuneGrid out = {.bases = bases_of(policy, entries),
                  .gate_strides = parse_each(kStride, "gate-strides", gate_strides),
                  .more = std::move(entries.settings)};
  refuse_single_values(policy, out.bases);
  add_list(out, kBudget, parse_each(kBudget, "budgets", budgets));
  add_list(out, kStride, parse_each(kStride, "strides", strides));
  add_list(out, kThreshold, parse_each(kThreshold, "thresholds", thresholds));
  for (const std::string& each : sweeps) add_sweep(out, each);
  for (const auto& [key, value] : policy.given) {
    const Parameter& parameter = *find_parameter(key);
    if (!any_takes(out.bases, key)) {
      refuse_parameter(fmt::format("--{}", parameter.flag), parameter, policy_names_of(out.bases));
    }
    for (Settings& base : out.bases) {
      if (base.takes(key)) base.set(key, value);
    }
    // One value of what is tried unless somebody says otherwise, such as --schedule fixed.
    if (!parameter.tried.empty()) add_list(out, parameter, {value});
  }
  return out;
}

void GridOptions::check_layers(const TuneGrid& grid, int32_t n_layer) const {
  for (const Settings& base : grid.bases) policy.check_layers(base, n_layer);
}

}  // namespace reattend::cli
