// Names of choices in settings as the enumerations of plans.
#pragma once
#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "kernels/selection.h"
#include "policies/settings.h"

namespace reattend {

/// Index of a choice among names that are in the order of the enumeration.
template <class Enum, size_t n>
Enum to_enum(const std::string& name, const std::array<std::string_view, n>& names) {
  return static_cast<Enum>(std::find(names.begin(), names.end(), name) - names.begin());
}

inline Reduce reduce_of(const Settings& settings) {
  return to_enum<Reduce, 3>(settings.choice("reduce"), {"max", "mean", "first"});
}
inline QueryStage stage_of(const Settings& settings) {
  return to_enum<QueryStage, 2>(settings.choice("similarity_query"), {"pre_rope", "post_rope"});
}
inline int32_t count_of(const Settings& settings, std::string_view key, int32_t layer, int32_t n_prompt) {
  return static_cast<int32_t>(settings.count(key, layer, n_prompt));
}

}  // namespace reattend
