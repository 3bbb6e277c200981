// Names of choices in settings, and the enumerations of plans that they stand for.
#pragma once
#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "kernels/selection.h"
#include "policies/settings.h"

namespace reattend {

/// In the order of the enumerations.
inline constexpr std::array<std::string_view, 3> kReduceNames = {"max", "mean", "first"};
inline constexpr std::array<std::string_view, 2> kQueryStageNames = {"pre_rope", "post_rope"};
/// Similarity::concatenated has no name: no parameter chooses it.
inline constexpr std::array<std::string_view, 3> kSimilarityNames = {"mean_query", "mean_cosine", "min_cosine"};

/// The entry of an enumeration whose name is `name`, which is one of `names`.
template <class Enum, size_t n>
Enum to_enum(const std::string& name, const std::array<std::string_view, n>& names) {
  return static_cast<Enum>(std::find(names.begin(), names.end(), name) - names.begin());
}

inline Reduce reduce_of(const Settings& settings) {
  return to_enum<Reduce>(settings.choice("reduce"), kReduceNames);
}
inline QueryStage stage_of(const Settings& settings) {
  return to_enum<QueryStage>(settings.choice("similarity_query"), kQueryStageNames);
}
inline Similarity similarity_of(const Settings& settings) {
  return to_enum<Similarity>(settings.choice("similarity_reduce"), kSimilarityNames);
}
/// Whether each KV head decides for itself.
inline bool is_per_kv_head(const Settings& settings) {
  return settings.choice("granularity") == "kv_head";
}
inline int32_t count_of(const Settings& settings, std::string_view key, int32_t layer, int32_t n_prompt) {
  return static_cast<int32_t>(settings.count(key, layer, n_prompt));
}

}  // namespace reattend
