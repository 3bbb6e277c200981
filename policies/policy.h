// A policy: scalar logic that writes a plan for every step and layer; it never touches keys, rows or caches.
#pragma once
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
  int32_t n_layer = 0, n_head = 0, n_kv_head = 0;
  int32_t n_prompt = 0;  ///< L; step t decodes position L - 1 + t
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

/// One row of the registry.
struct PolicyInfo {
  std::string_view name;
  std::string_view source;  ///< paper
  std::string_view keeps, reads, memory, cost;
  std::unique_ptr<Policy> (*make)(const Settings&, const RunShape&);
};

std::span<const PolicyInfo> policy_registry();
/// Throws Error (usage) for an unknown name (listing the known ones) or settings that do not fit the shape.
std::unique_ptr<Policy> make_policy(const Settings& settings, const RunShape& shape);

}  // namespace reattend
