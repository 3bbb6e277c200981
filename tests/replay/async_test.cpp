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
        replayer_(std::make_unique<Replayer>(run_, pool_), [] {}) {}

  static Settings with_budget(int64_t k) { return settings_of("recycled", {{"K", k}, {"S", int64_t{4}}}); }

  /// All answers until nothing is left to do, the last one whole.
  std::vector<Answer> drain() {
    std::vector<Answer> answers;
    for (bool busy = true; busy;) {
      busy = replayer_.activity().busy;
      if (Answer answer = replayer_.take()) answers.push_back(std::move(answer));
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    return answers;
  }

  std::shared_ptr<HandMade> run_;
  ThreadPool pool_;
  AsyncReplayer replayer_;
};

TEST_F(Async, TheLastAnswerIsWhatAReplayGives) {
  const Settings settings = with_budget(10);
  const uint64_t ticket = replayer_.submit({.settings = settings, .first_layer = 3});
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
  EXPECT_EQ(last.layers[3]->sets, expected.layers[3].sets) << "the layer that is looked at comes with its sets";
  EXPECT_TRUE(last.layers[2]->sets.empty());
}

TEST_F(Async, TheSelectedLayerComesFirstAndMassesBeforeErrors) {
  replayer_.submit({.settings = with_budget(10), .first_layer = 4});
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
    ticket = replayer_.submit({.settings = with_budget(k), .first_layer = 1});
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

TEST_F(Async, WhyARequestFailedIsSaidOnce) {
  run_->info().n_step = 0;
  AsyncReplayer broken(std::make_unique<Replayer>(run_, pool_), [] {});
  broken.submit({.settings = with_budget(3), .first_layer = 0});
  while (broken.activity().busy) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  const std::vector<std::string> failures = broken.take_failures();
  ASSERT_EQ(failures.size(), 1U);
  EXPECT_NE(failures[0].find("at least one decode step"), std::string::npos);
  EXPECT_TRUE(broken.take_failures().empty());
}

TEST_F(Async, EndingDoesNotWaitForTheAnswer) {
  std::atomic<int> n_woken = 0;
  {
    AsyncReplayer other(std::make_unique<Replayer>(run_, pool_), [&] { ++n_woken; });
    other.submit({.settings = with_budget(3), .first_layer = 0});
    while (n_woken == 0) std::this_thread::yield();
  }
  EXPECT_GT(n_woken, 0);
}

}  // namespace
}  // namespace reattend
