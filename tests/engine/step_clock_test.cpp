// What a time of a step is: its own work alone, and a mean that neither a hiccup nor the rhythm of refreshes distorts.
#include <gtest/gtest.h>

#include "engine/model/model.h"
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

/// Counts what it is told of layers.
class Counter final : public Observer {
 public:
  int n_begin = 0, n_attended = 0, n_end = 0;
  void layer_begin(int32_t, int32_t, const Plan&) override { ++n_begin; }
  void attended(const LayerView&) override { ++n_attended; }
  void layer_end(int32_t, int32_t) override { ++n_end; }
};

TEST(StepTimer, LooksForObserversAloneAndTimesChoicesWhereOneAsks) {
  ThreadPool pool(1);
  const Model model = Model::open("tests/golden/models/tiny_llama.gguf");
  const int32_t n_layer = model.shape().n_layer;
  Backend backend = make_backend({}, model, pool);
  const std::vector<Plan> plans(static_cast<size_t>(n_layer), Plan{.branch = {.attend = {.everything = true}}});
  Counter counter;
  StepClock plain, choosing({.choices = true});
  Observer *const no_choices[] = {&plain, &counter}, *const choices[] = {&choosing, &counter};
  const auto watched = [&](std::span<Observer* const> observers) {
    counter = {};
    ObserverList list(observers);
    const auto sequence = backend.model->new_sequence(1, {});
    SequenceView view(backend, model.shape(), *sequence, 1);
    StepTimer timer(list, view, 1, plans);
    timer.start();
    backend.model->step(*sequence, {.token = 5, .p = 0, .plans = plans}, timer.watch());
    timer.stop();
    EXPECT_GT(timer.seconds(), timer.choosing_seconds());
    EXPECT_EQ(timer.watch() == nullptr, observers.empty());
    EXPECT_TRUE(counter.n_begin == counter.n_attended && counter.n_begin == counter.n_end);
    return std::pair(counter.n_begin, timer.choosing_seconds() > 0);
  };
  EXPECT_EQ(watched({}), std::pair(0, false));
  EXPECT_EQ(watched(no_choices), std::pair(n_layer, false));
  EXPECT_EQ(watched(choices), std::pair(n_layer, true));
}

}  // namespace
}  // namespace reattend
