// What a time of a step is: its own work alone, and a mean that neither a hiccup nor the rhythm of refreshes distorts.
#include <gtest/gtest.h>

#include "engine/step_clock.h"
#include "engine/step_timer.h"

namespace reattend {
namespace {

/// Tells `clock` of 16 steps of two heads, of which every fourth refreshes both, beginning with the first: 10 ms there,
/// 3 ms after it, where copies are made, 2 ms otherwise. Step `slow` takes a second.
void run(StepClock& clock, int32_t slow) {
  for (int32_t t = 1; t <= 16; ++t) {
    const bool full = t % 4 == 1, after = t % 4 == 2;
    const HeadLog heads[2] = {{.full = full}, {.full = full}};
    const double ms = t == slow ? 1000 : full ? 10 : after ? 3 : 2;
    clock.step_end({.t = t, .heads = heads, .seconds = ms * 1e-3, .choosing_seconds = ms * 1e-4});
  }
}

TEST(StepClock, CountsEachKindOfStepWithItsMedian) {
  StepClock even, disturbed;
  run(even, 0), run(disturbed, 7);
  EXPECT_NEAR(even.ms_per_token(), (4 * 10 + 4 * 3 + 8 * 2) / 16.0, 1e-9);
  EXPECT_NEAR(even.choosing_ms(), even.ms_per_token() / 10, 1e-9);
  EXPECT_EQ(even.kinds().size(), 3U);
  EXPECT_NEAR(disturbed.ms_per_token(), even.ms_per_token(), 1e-9) << "one slow step is a hiccup";
}

TEST(StepClock, LeavesTheFirstStepsOutOfEachRun) {
  StepClock clock({.n_skip = 4});
  run(clock, 2), run(clock, 3);
  EXPECT_NEAR(clock.ms_per_token(), (3 * 10 + 3 * 3 + 6 * 2) / 12.0, 1e-9);
  EXPECT_EQ(StepClock().ms_per_token(), 0) << "nothing was watched";
}

TEST(StepTimer, LooksForObserversAloneAndTimesChoicesWhereOneAsks) {
  StepClock plain, choosing({.choices = true});
  Observer *const no_choices[] = {&plain}, *const choices[] = {&plain, &choosing};
  const auto looked = [](std::span<Observer* const> observers) {
    StepTimer timer{ObserverList(observers)};
    int n = 0;
    bool chosen = false;
    timer.start();
    timer.observe([&] { ++n; });
    timer.choose([&] { chosen = true; });
    timer.stop();
    EXPECT_TRUE(chosen);
    EXPECT_GE(timer.seconds(), timer.choosing_seconds());
    return std::pair(n, timer.choosing_seconds() > 0);
  };
  EXPECT_EQ(looked({}), std::pair(0, false));
  EXPECT_EQ(looked(no_choices), std::pair(1, false));
  EXPECT_EQ(looked(choices), std::pair(1, true));
}

}  // namespace
}  // namespace reattend
