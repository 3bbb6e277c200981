// What a comparison of times rests on: everything has its place in every round, and a cancelled comparison keeps whole
// rounds only.
#include <gtest/gtest.h>

#include "base/rounds.h"

namespace reattend {
namespace {

TEST(Rounds, EverythingRunsOnceInEveryRoundInTheOrderOfAdding) {
  Rounds rounds;
  std::string order;
  for (const char name : {'a', 'b', 'c'}) rounds.add(std::string(1, name), [&order, name] { order += name; });
  int n_whole = 0;
  std::vector<std::string> told;
  rounds.run(
      2,
      [&](const Rounds::Next& next) {
        told.push_back(next.name + std::to_string(next.round) + "/" + std::to_string(next.n_round));
        EXPECT_EQ(next.done, told.size() - 1);
        EXPECT_EQ(next.total, 6U);
      },
      Cancel(), [&] { ++n_whole, order += '|'; });
  EXPECT_EQ(order, "abc|abc|");
  EXPECT_EQ(n_whole, 2);
  EXPECT_EQ(told, (std::vector<std::string>{"a1/2", "b1/2", "c1/2", "a2/2", "b2/2", "c2/2"}));
}

TEST(Rounds, WhatIsCancelledStopsBetweenTwoRunsAndCountsWholeRounds) {
  Rounds rounds;
  const Cancel cancel;
  int n_run = 0, n_whole = 0;
  for (int i = 0; i < 3; ++i) {
    rounds.add("one", [&] {
      if (++n_run == 5) cancel.raise();
    });
  }
  EXPECT_THROW(rounds.run(4, {}, cancel, [&] { ++n_whole; }), Cancelled);
  EXPECT_EQ(n_run, 5);
  EXPECT_EQ(n_whole, 1);
}

TEST(Rounds, NoRoundsRunNothing) {
  Rounds rounds;
  rounds.add("never", [] { FAIL() << "0 rounds were asked for"; });
  rounds.run(0, {}, Cancel());
}

}  // namespace
}  // namespace reattend
