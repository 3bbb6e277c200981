// Replays that must not differ by a bit, however they were come by.
#pragma once
#include <cstring>

#include "tests/replay/compare.h"

namespace reattend {

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

inline void expect_same(const LayerReplay& a, const LayerReplay& b, const std::string& what) {
  EXPECT_TRUE(same_bits(a.full, b.full)) << what;
  EXPECT_TRUE(same_bits(a.cos, b.cos)) << what;
  EXPECT_TRUE(same_bits(a.positions, b.positions)) << what;
  EXPECT_TRUE(same_bits(a.recovered, b.recovered)) << what;
  EXPECT_TRUE(same_bits(a.oracle, b.oracle)) << what;
  EXPECT_TRUE(same_bits(a.overlap, b.overlap)) << what;
  EXPECT_TRUE(same_bits(a.jaccard, b.jaccard)) << what;
  EXPECT_TRUE(same_bits(a.output_error, b.output_error)) << what;
  EXPECT_TRUE(same_bits(a.losses.largest, b.losses.largest)) << what;
  EXPECT_TRUE(same_bits(a.losses.middle, b.losses.middle)) << what;
  EXPECT_TRUE(same_bits(a.losses.of_middle, b.losses.of_middle)) << what;
  EXPECT_TRUE(same_bits(a.losses.output_norm, b.losses.output_norm)) << what;
  EXPECT_EQ(a.sets, b.sets) << what;
  EXPECT_EQ(std::memcmp(&a.work, &b.work, sizeof a.work), 0) << what;
}

}  // namespace reattend
