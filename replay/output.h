// What attending to a set of positions does to a KV head's outputs, relative to full attention.
#pragma once
#include <cstddef>
#include <vector>

#include "policies/plan.h"
#include "replay/prepared.h"

namespace reattend {

/// One KV head of a prepared layer that has values and outputs.
class HeadOutput {
 public:
  HeadOutput(const PreparedLayer& prepared, int32_t kv_head, const Rope& rope)
      : prepared_(prepared), kv_head_(kv_head), rope_(rope) {}

  /// A kept set begins to serve: kept [n_kept] in rank order.
  void keep(const int32_t* kept, int32_t n_kept);
  /// error [group] = |o_set - o_full| / |o_full| of step t, whose branch chose the set.
  void error(int32_t t, const PositionSet& set, const Branch& branch, float* error);

 private:
  PositionSet rotated_by_rank(const PositionSet& set);

  const PreparedLayer& prepared_;
  int32_t kv_head_;
  const Rope& rope_;
  const int32_t* kept_ = nullptr;
  int32_t n_kept_ = 0, n_packed_ = 0;
  std::vector<std::byte> packed_keys_, packed_values_;    ///< [n_packed_][d_head] cache bits of the kept set
  std::vector<int32_t> order_;                            ///< positions whose keys were rotated
  std::vector<float> rotated_keys_, rotated_values_;      ///< [order_.size()][d_head]
  std::vector<float> m_, d_, o_, sum_m_, sum_d_, sum_o_;  ///< [group], [group], [group][d_head]
};

}  // namespace reattend
