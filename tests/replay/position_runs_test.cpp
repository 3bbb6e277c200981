// Attended sets as runs hold what lists of their positions hold, in less memory where everything is attended to.
#include <gtest/gtest.h>

#include <numeric>
#include <random>

#include "replay/position_runs.h"

namespace reattend {
namespace {

// Sets of every form that a plan can have: leading, kept and trailing positions, any of them empty or touching.
TEST(PositionRuns, HoldExactlyThePositionsOfTheSet) {
  std::mt19937 random(1);
  const auto draw = [&](int32_t low, int32_t high) { return std::uniform_int_distribution(low, high)(random); };
  for (int32_t i = 0; i < 3000; ++i) {
    const int32_t n = draw(1, 90);
    PositionSet set = {.lead = draw(0, n), .end = n};
    set.tail = draw(set.lead, n);
    std::vector<int32_t> kept(static_cast<size_t>(set.tail - set.lead));
    std::iota(kept.begin(), kept.end(), set.lead);
    std::ranges::shuffle(kept, random);
    kept.resize(static_cast<size_t>(draw(0, static_cast<int32_t>(kept.size()))));
    set.kept = kept.data(), set.n_kept = static_cast<int32_t>(kept.size());
    std::vector<int32_t> expected;
    for (int32_t j = 0; j < set.size(); ++j) expected.push_back(set[j]);
    std::ranges::sort(expected);
    std::vector<int32_t> in_order = kept;
    std::ranges::sort(in_order);

    const PositionRuns runs(set, in_order);
    ASSERT_EQ(runs.list(), expected);
    ASSERT_EQ(runs.size(), set.size());
    for (int32_t p = -1; p <= n; ++p) ASSERT_EQ(runs.holds(p), std::ranges::binary_search(expected, p)) << p;
    for (size_t r = 0; r < runs.runs().size(); ++r) {
      ASSERT_LT(runs.runs()[r].begin, runs.runs()[r].end);
      if (r > 0) {
        ASSERT_GT(runs.runs()[r].begin, runs.runs()[r - 1].end) << "runs that touch are one";
      }
    }
    ASSERT_LE(runs.bytes(), PositionRuns::most_bytes(set.n_kept, n)) << "memory is reserved by this";
  }
}

TEST(PositionMasks, HoldWhatTheSetsOfTheirStepsHold) {
  std::mt19937 random(2);
  constexpr int32_t kPositions = 300, kFirst = 7;
  std::vector<PositionRuns> sets;
  for (int32_t n = 200; n < 230; ++n) {
    const int32_t lead = std::uniform_int_distribution(0, 150)(random);
    const std::vector<int32_t> kept = {lead + 5, lead + 6, lead + 20};
    sets.emplace_back(PositionSet{.lead = lead, .kept = kept.data(), .n_kept = 3, .tail = lead + 40, .end = n}, kept);
  }
  sets.emplace_back(everything_up_to(kPositions), std::vector<int32_t>());
  const PositionMasks masks(kFirst, sets, kPositions);
  EXPECT_FALSE(masks.holds_step(kFirst - 1));
  EXPECT_FALSE(masks.holds_step(kFirst + 31));
  for (int32_t i = 0; i < 31; ++i) {
    ASSERT_TRUE(masks.holds_step(kFirst + i));
    for (int32_t p = 0; p < kPositions; ++p) {
      ASSERT_EQ(masks.holds(kFirst + i, p), sets[static_cast<size_t>(i)].holds(p)) << i << ' ' << p;
    }
  }
}

// A full step of a long context took four bytes a position.
TEST(PositionRuns, OfEverythingAreOneRun) {
  const PositionRuns runs(everything_up_to(131'072), {});
  ASSERT_EQ(runs.runs().size(), 1U);
  EXPECT_EQ(runs.runs()[0], (PositionRuns::Run{0, 131'072}));
  EXPECT_LE(runs.bytes(), 64);
}

}  // namespace
}  // namespace reattend
