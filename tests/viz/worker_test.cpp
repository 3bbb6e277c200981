// Requests are made faster than they are answered: what arrives must be the newest, and nothing that was cancelled.
#include "viz/session/worker.h"

#include <chrono>

#include <gtest/gtest.h>

#include "base/error.h"
#include "synthetic_source.h"

namespace reattend::viz::testing {
namespace {

Settings with_budget(int64_t k) {
  Settings settings("recycled");
  settings.set("K", k);
  return settings;
}

/// Takes until nothing is left to do, merging what arrives.
Results drain(Worker& worker) {
  Results all;
  for (bool idle = false; !idle; std::this_thread::sleep_for(std::chrono::milliseconds(1))) {
    idle = worker.idle();
    Results results = worker.take();
    if (results.trace) all.trace = results.trace;
    if (results.layer) all.layer = results.layer;
    if (results.all) all.all = results.all;
    if (results.rows) all.rows = results.rows;
    for (auto& failure : results.failures) all.failures.push_back(failure);
  }
  return all;
}

struct WorkerTest : ::testing::Test {
  SyntheticShape shape;
  std::shared_ptr<Stage> stage = std::make_shared<Stage>();
  Worker worker{synthetic_source(shape, stage), [] {}};
  WorkerTest() {
    worker.open("trace.h5");
    drain(worker);
  }
};

TEST_F(WorkerTest, TheNewestRequestWinsAndCancelledOnesAreNeverDelivered) {
  stage->hold_replays(true);
  worker.replay_layer(with_budget(10), 0);
  stage->await_held_replay();
  worker.replay_layer(with_budget(20), 0);
  worker.replay_layer(with_budget(30), 0);
  stage->await_held_replay();
  while (stage->begun().back() != with_budget(30)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(worker.take().layer, nullptr);  // the first was cancelled: it has nothing to show
  stage->hold_replays(false);
  const Results results = drain(worker);
  ASSERT_NE(results.layer, nullptr);
  EXPECT_EQ(results.layer->settings, with_budget(30));
  EXPECT_TRUE(results.failures.empty());
}

TEST_F(WorkerTest, AnUrgentRequestInterruptsALessUrgentOneWhichIsFinishedAfterwards) {
  stage->hold_replays(true);
  worker.replay_all(with_budget(10));
  stage->await_held_replay();
  worker.rows(1, 1, 1);  // asks for no replay, so it can be answered while replays are held
  std::shared_ptr<const RowMatrix> rows;
  while (!rows) rows = worker.take().rows;
  EXPECT_EQ(rows->layer, 1);
  EXPECT_TRUE(worker.waiting_for(Task::replay_all));
  stage->hold_replays(false);
  const Results results = drain(worker);
  ASSERT_NE(results.all, nullptr);
  EXPECT_EQ(results.all->settings, with_budget(10));
}

TEST_F(WorkerTest, AnotherTraceDropsWhatWasAskedOfTheOld) {
  stage->hold_replays(true);
  worker.replay_all(with_budget(10));
  stage->await_held_replay();
  worker.open("other.h5");
  stage->hold_replays(false);
  const Results results = drain(worker);
  EXPECT_NE(results.trace, nullptr);
  EXPECT_EQ(results.all, nullptr);
}

TEST_F(WorkerTest, RowsAreTheSourcesOwn) {
  worker.rows(2, 1, 1);
  const Results results = drain(worker);
  ASSERT_NE(results.rows, nullptr);
  const RowMatrix& rows = *results.rows;
  ASSERT_EQ(rows.n_row, shape.n_step);
  for (const int32_t t : {1, 17, shape.n_step}) {
    for (const int32_t j : {0, 5, shape.n_prompt + t - 1}) {
      EXPECT_EQ(rows.row_of_step(t)[j], synthetic_weight(shape, 2, 1, t, j)) << t << ' ' << j;
    }
    EXPECT_EQ(rows.n_weight(t - rows.first_step), shape.n_prompt + t);
  }
}

TEST(WorkerFailure, IsReportedOnceWithItsMessage) {
  Worker worker([](const std::filesystem::path&) -> std::unique_ptr<ViewSource> { throw Error("no trace here"); },
                [] {});
  worker.open("x");
  worker.replay_all(with_budget(1));
  const Results results = drain(worker);
  ASSERT_EQ(results.failures.size(), 1);
  EXPECT_EQ(results.failures[0].task, Task::open);
  EXPECT_EQ(results.failures[0].message, "no trace here");
}

TEST(WorkerEnd, DoesNotWaitForWorkUnderWay) {
  auto stage = std::make_shared<Stage>();
  stage->hold_replays(true);
  {
    Worker worker(synthetic_source({}, stage), [] {});
    worker.open("x");
    worker.replay_all(with_budget(1));
    stage->await_held_replay();
  }
  EXPECT_EQ(stage->begun().size(), 1);
}

}  // namespace
}  // namespace reattend::viz::testing
