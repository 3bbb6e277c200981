// The replay as a user interface has it: never waits, shows the newest request alone, layer by layer, errors last.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "replay/async.h"
#include "tests/replay/compare.h"

namespace reattend {
namespace {

using Answer = std::shared_ptr<const AsyncAnswer>;

class Async : public ::testing::Test {
 protected:
  Async()
      : run_(std::make_shared<HandMade>(HandMadeShape{.n_layer = 6}, 5)),
        pool_(2),
        tasks_(4, [] {}),
        replayer_(tasks_, {}, std::make_shared<Replayer>(run_, pool_)) {}

  static Settings with_budget(int64_t k) { return settings_of("recycled", {{"K", k}, {"S", int64_t{4}}}); }

  /// All answers until nothing is left to do, the last one whole.
  std::vector<Answer> drain() {
    std::vector<Answer> answers;
    for (bool busy = true; busy;) {
      busy = tasks_.activity().busy || replayer_.has_news();
      replayer_.take_passing();
      if (Answer answer = replayer_.take()) answers.push_back(std::move(answer));
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    return answers;
  }

  std::shared_ptr<HandMade> run_;
  ThreadPool pool_;
  BackgroundTasks tasks_;
  AsyncReplayer replayer_;
};

TEST_F(Async, TheLastAnswerIsWhatAReplayGives) {
  const Settings settings = with_budget(10);
  replayer_.look_at({.layer = 3, .kv_head = 1, .steps = {5, 24}});
  const uint64_t ticket = replayer_.submit({.settings = settings});
  const std::vector<Answer> answers = drain();
  ASSERT_FALSE(answers.empty());
  const AsyncAnswer& last = *answers.back();
  EXPECT_EQ(last.ticket, ticket);
  EXPECT_EQ(last.settings, settings);
  EXPECT_TRUE(last.has_masses);
  EXPECT_TRUE(last.has_errors);
  EXPECT_EQ(last.n_done, 6);
  ThreadPool pool(1);
  Replayer plain(run_, pool);
  const ReplayResult expected = replay(plain, settings);
  EXPECT_EQ(last.total.recovered, expected.total.recovered);
  EXPECT_EQ(last.total.output_error_p95, expected.total.output_error_p95);
  for (int32_t l = 0; l < 6; ++l) {
    ASSERT_NE(last.layers[l], nullptr);
    EXPECT_EQ(last.layers[l]->recovered, expected.layers[l].recovered);
    EXPECT_EQ(last.layers[l]->output_error, expected.layers[l].output_error);
    EXPECT_EQ(last.per_layer[l].overlap, expected.per_layer[l].overlap);
  }
  for (int32_t t = 1; t <= 24; ++t) {
    const PositionRuns* const set = last.set_of(3, 1, t);
    ASSERT_EQ(set != nullptr, t >= 5) << "the sets that are looked at come with the answer, and no others";
    if (set != nullptr) {
      EXPECT_EQ(*set, expected.layers[3].sets[static_cast<size_t>(t - 1) * 2 + 1]);
    }
    EXPECT_EQ(last.set_of(3, 0, t), nullptr);
    EXPECT_EQ(last.set_of(2, 1, t), nullptr);
  }
  EXPECT_TRUE(last.layers[3]->sets.empty());
}

TEST_F(Async, AnotherLayerThatIsLookedAtKeepsWhatWasFoundAndBringsItsSets) {
  const Settings settings = with_budget(10);
  replayer_.look_at({.layer = 3, .kv_head = 1, .steps = {1, 24}});
  const uint64_t ticket = replayer_.submit({.settings = settings});
  const Answer before = drain().back();
  replayer_.look_at({.layer = 5, .kv_head = 0, .steps = {2, 9}});
  const Answer after = drain().back();
  EXPECT_EQ(after->ticket, ticket);
  EXPECT_TRUE(after->has_errors);
  EXPECT_EQ(after->layers[3], before->layers[3]);
  EXPECT_FALSE(after->layers[5]->output_error.empty()) << "what says less does not take the place of what says more";
  EXPECT_EQ(after->set_of(3, 1, 2), nullptr);
  ThreadPool pool(1);
  Replayer plain(run_, pool);
  ASSERT_NE(after->set_of(5, 0, 9), nullptr);
  EXPECT_EQ(*after->set_of(5, 0, 9), replay(plain, settings).layers[5].sets[8 * 2]);
}

TEST_F(Async, ASecondUserOfTheQueueIsNotDropped) {
  BackgroundTasks tasks(5, [] {});
  int n_done = 0;
  AsyncReplayer replayer(tasks, {.looked_at = 0, .masses = 2, .layer_errors = 3, .errors = 4},
                         std::make_shared<Replayer>(run_, pool_));
  tasks.post(1, [&](const BackgroundTasks::Context& context) { context.deliver([&] { ++n_done; }); });
  replayer.submit({.settings = with_budget(5)});
  replayer.submit({.settings = with_budget(6)});
  Answer last;
  for (bool busy = true; busy; std::this_thread::sleep_for(std::chrono::milliseconds(1))) {
    busy = tasks.activity().busy || replayer.has_news();
    replayer.take_passing();
    if (Answer answer = replayer.take()) last = std::move(answer);
  }
  EXPECT_EQ(n_done, 1);
  ASSERT_NE(last, nullptr);
  EXPECT_TRUE(last->has_errors);
}

TEST_F(Async, TheSelectedLayerComesFirstAndMassesBeforeErrors) {
  replayer_.look_at({.layer = 4});
  replayer_.submit({.settings = with_budget(10)});
  int32_t n_done = 0;
  for (const Answer& answer : drain()) {
    EXPECT_GE(answer->n_done, n_done) << "an answer grows";
    n_done = answer->n_done;
    if (n_done > 0) {
      EXPECT_NE(answer->layers[4], nullptr);
    }
    if (answer->has_errors) {
      EXPECT_TRUE(answer->has_masses);
    }
    for (const auto& layer : answer->layers) {
      if (layer != nullptr && !layer->output_error.empty()) {
        EXPECT_TRUE(answer->has_masses);
      }
    }
  }
}

TEST_F(Async, OnlyTheNewestOfManyRequestsIsAnswered) {
  uint64_t ticket = 0;
  for (int64_t k = 1; k <= 40; ++k) {
    replayer_.look_at({.layer = 1});
    ticket = replayer_.submit({.settings = with_budget(k)});
    if (const Answer answer = replayer_.take()) {
      EXPECT_EQ(answer->ticket, ticket) << "what is taken is never of an older request";
    }
  }
  const std::vector<Answer> answers = drain();
  ASSERT_FALSE(answers.empty());
  for (const Answer& answer : answers) {
    EXPECT_EQ(answer->ticket, ticket);
    EXPECT_EQ(answer->settings, with_budget(40));
  }
  EXPECT_TRUE(answers.back()->has_errors);
  ThreadPool pool(1);
  Replayer plain(run_, pool);
  EXPECT_EQ(answers.back()->total.recovered, replay(plain, with_budget(40)).total.recovered);
}

// Whoever dragged S saw no layer but the selected one move until the mouse stood still: each move stopped the replay of
// all layers.
TEST_F(Async, AllLayersFollowWhileRequestsKeepComing) {
  replayer_.look_at({.layer = 2});
  Answer whole;
  constexpr int64_t kMost = 60'000;  // a minute of requests: where no pass ever ends, this fails instead of hanging
  for (int64_t i = 0; i < kMost && !whole; ++i) {
    replayer_.submit({.settings = with_budget(i % 40 + 1)});
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    replayer_.take();
    if (const Answer passing = replayer_.take_passing(); passing && passing->has_masses) whole = passing;
  }
  ASSERT_NE(whole, nullptr);
  ThreadPool pool(1);
  Replayer plain(run_, pool);
  const ReplayResult expected = replay(plain, whole->settings);
  EXPECT_EQ(whole->total.recovered, expected.total.recovered);
  for (size_t l = 0; l < 6; ++l) {
    ASSERT_NE(whole->layers[l], nullptr);
    EXPECT_EQ(whole->layers[l]->recovered, expected.layers[l].recovered) << "no layer of another setting";
  }
  const uint64_t ticket = replayer_.submit({.settings = with_budget(41)});
  const Answer last = drain().back();
  EXPECT_EQ(last->ticket, ticket);
  EXPECT_TRUE(last->has_errors) << "the newest is answered in the end";
}

TEST_F(Async, ACancelledRequestKeepsWhatWasFoundAndTheNextOneIsWhole) {
  replayer_.submit({.settings = with_budget(3)});
  replayer_.cancel();
  drain();
  replayer_.submit({.settings = with_budget(7), .output_error = false});
  const std::vector<Answer> answers = drain();
  ASSERT_FALSE(answers.empty());
  EXPECT_TRUE(answers.back()->has_masses);
  EXPECT_FALSE(answers.back()->has_errors);
}

TEST_F(Async, WhyARequestFailedIsLeftInTheQueue) {
  run_->info().n_step = 0;
  BackgroundTasks tasks(4, [] {});
  AsyncReplayer broken(tasks, {}, std::make_shared<Replayer>(run_, pool_));
  broken.look_at({.layer = 0});
  broken.submit({.settings = with_budget(3)});
  while (tasks.activity().busy) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  const std::vector<BackgroundTasks::Failure> failures = tasks.take_failures();
  ASSERT_FALSE(failures.empty());
  for (const BackgroundTasks::Failure& failure : failures) {
    EXPECT_NE(failure.message.find("at least one decode step"), std::string::npos);
  }
}

TEST_F(Async, NeitherEndingNorAnotherTraceWaitsForTheAnswer) {
  std::atomic<int> n_woken = 0;
  {
    BackgroundTasks tasks(4, [&] { ++n_woken; });
    auto first =
        std::make_unique<AsyncReplayer>(tasks, AsyncReplayer::Kinds{}, std::make_shared<Replayer>(run_, pool_));
    first->look_at({.layer = 0});
    first->submit({.settings = with_budget(3)});
    while (n_woken == 0) std::this_thread::yield();
    first.reset();  // its tasks may still run, and must find what they need
    AsyncReplayer second(tasks, {}, std::make_shared<Replayer>(run_, pool_));
    second.submit({.settings = with_budget(4)});
    while (tasks.activity().busy) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const Answer answer = second.take();
    ASSERT_NE(answer, nullptr);
    EXPECT_EQ(answer->settings, with_budget(4));
    second.submit({.settings = with_budget(5)});
  }
  EXPECT_GT(n_woken, 0);
}

}  // namespace
}  // namespace reattend
