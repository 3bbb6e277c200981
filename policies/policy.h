// A policy: scalar logic that writes a plan for every step and layer and never touches keys, rows or caches; and the
// registry of all policies with the parameters that each takes.
#pragma once
#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "policies/plan.h"
#include "policies/settings.h"

namespace reattend {

/// What a policy knows of a run.
struct RunShape {
  int32_t n_layer = 0, n_head = 0, n_kv_head = 0, d_head = 0;
  int32_t n_prompt = 0;  ///< L; step t decodes position L - 1 + t
  /// [n_layer] positions that the model itself lets a layer attend to, its own the last; 0: as many as the policy says.
  /// Empty: 0 in all layers.
  std::vector<int32_t> windows = {};

  int32_t window(int32_t layer) const { return windows.empty() ? 0 : windows[static_cast<size_t>(layer)]; }
  /// Whether a policy acts on the layer: it has no window of its own.
  bool acts(int32_t layer) const { return window(layer) == 0; }
  /// Layers that a policy acts on.
  int32_t n_acting() const { return n_layer - n_windowed(n_layer); }
  /// How many of them come before `layer`.
  int32_t n_acting_before(int32_t layer) const { return layer - n_windowed(layer); }

 private:
  int32_t n_windowed(int32_t end) const {
    return windows.empty() ? 0
                           : static_cast<int32_t>(std::count_if(windows.begin(), windows.begin() + end,
                                                                [](int32_t window) { return window > 0; }));
  }
};

/// One attention policy with its parameters resolved for one run. Plans depend on (layer, t) alone: state lives in the
/// executor's kept sets, so one object serves any number of runs and threads, and copies are forks.
class Policy {
 public:
  virtual ~Policy() = default;
  /// After the prompt: the choice that step 0 (the last prompt token, a full step) leaves behind.
  virtual Select prompt(int32_t /*layer*/) const { return {}; }
  virtual PromptNeeds needs() const { return {}; }
  /// The plan of step t >= 1.
  virtual Plan plan(int32_t layer, int32_t t) const = 0;
};

/// What must hold of another parameter for a parameter to decide anything: schedule = query for recycled's threshold,
/// min_weight above 0 for sketch's min_k.
struct Condition {
  enum class Is : uint8_t { equal, above, at_most };
  const Parameter* parameter = nullptr;  ///< nothing: it always decides
  std::string_view value;
  Is is = Is::equal;

  bool holds(const Value& found) const;
  /// A value that meets it: its own, or the first of those that a tuner tries.
  Value meeting() const;
  /// "schedule = query", "min_weight above 0".
  std::string text() const;
};

/// A parameter as a policy takes it: with its own default, and where it decides.
struct PolicyParameter {
  // Implicit, so that a policy lists parameters by their names alone.
  PolicyParameter(const Parameter& parameter, Condition when = {});  // NOLINT(google-explicit-constructor)
  PolicyParameter(const Parameter& parameter, std::string_view initial, Condition when = {});

  const Parameter* parameter;
  Value initial;
  Condition when;
};

/// All that others know of a policy. Its file ends in a function NAME_policy() that returns it.
struct PolicyInfo {
  std::string_view name;
  std::string_view source;  ///< paper
  std::string_view keeps, reads, memory, cost;
  std::vector<PolicyParameter> parameters = {};  ///< in the order that help, files and tables show them
  std::unique_ptr<Policy> (*make)(const Settings&, const RunShape&);

  /// nullptr where it does not take the parameter of that key.
  const PolicyParameter* find(std::string_view key) const;
  bool takes(std::string_view key) const { return find(key) != nullptr; }
};

std::span<const PolicyInfo> policy_registry();
std::vector<std::string_view> policy_names();
/// nullptr when there is none of that name.
const PolicyInfo* find_policy(std::string_view name);

/// All parameters of all policies, each once, in the order of the registry and of each policy's list.
std::span<const Parameter* const> parameters();
/// nullptr when there is none of that key or flag.
const Parameter* find_parameter(std::string_view key_or_flag);
/// Names of the policies that take it, in the registry's order.
std::vector<std::string_view> takers_of(const Parameter& parameter);
/// The error (usage) for a parameter that `policy` does not take: names those that do.
[[noreturn]] void refuse_parameter(const std::string& where, const Parameter& parameter, std::string_view policy);

/// Throws Error (usage) for an unknown name (listing the known ones) or settings that do not fit the shape.
std::unique_ptr<Policy> make_policy(const Settings& settings, const RunShape& shape);

}  // namespace reattend
