// Undo: whatever was done in whatever order, going back gives the states that were there, bit for bit, and so does
// going forward again.
#include <random>

#include <gtest/gtest.h>

#include "policies/policy.h"
#include "session_rig.h"
#include "viz/session/history.h"

namespace reattend::viz::testing {
namespace {

const SyntheticShape kShape = {.n_layer = 4, .n_head = 4, .n_prompt = 64, .n_step = 16};

/// A session with a view, whose frames pass without a window.
struct HistoryRig : Rig {
  HistoryRig() : Rig(kShape) {
    open();
    rest();
  }
  History& history() { return session.data<History>(); }
  UndoState now() { return undo_state(session, view); }
  /// Two frames in which nothing is held, `seconds` after the last ones.
  void rest(double seconds = 2) {
    time += seconds;
    for (int i = 0; i < 2; ++i) history().observe(now(), true, time);
  }
  void hold() { history().observe(now(), false, time); }
  bool back() {
    const UndoState* const state = history().undo(now());
    if (state != nullptr) apply(*state, session, view), rest();
    return state != nullptr;
  }
  bool forward() {
    const UndoState* const state = history().redo(now());
    if (state != nullptr) apply(*state, session, view), rest();
    return state != nullptr;
  }

  SharedView view;
  double time = 0;
};

/// One of everything that a person can change.
void act_at_random(HistoryRig& rig, std::mt19937& random) {
  const auto below = [&](int n) { return std::uniform_int_distribution<int>(0, n - 1)(random); };
  const auto real = [&] { return std::uniform_real_distribution<double>(0.01, 1)(random); };
  Settings settings = rig.session.settings();
  TuneBounds bounds = rig.session.bounds();
  switch (below(8)) {
    case 0:
      return rig.session.set_settings(settings.under(policy_registry()[static_cast<size_t>(below(12))].name));
    case 1:
      if (settings.takes("K")) settings.set("K", int64_t{1} + below(80));
      return rig.session.set_settings(settings);
    case 2:
      if (settings.takes("threshold")) settings.set("threshold", real());
      return rig.session.set_settings(settings);
    case 3:
      bounds.max_kl = real();
      if (below(2) == 0) bounds.max_ms = real();
      return rig.session.set_bounds(bounds);
    case 4:
      rig.session.select_layer(below(kShape.n_layer));
      return rig.session.select_kv_head(below(kShape.n_kv_head));
    case 5:
      rig.session.select_step(1 + below(kShape.n_step));
      return rig.session.select_position(below(60) - 1);
    case 6:
      rig.view.heat_positions = {real(), 2 + real()};
      return;
    default:
      rig.view.steps = {-real(), 1 + real()};
  }
}

TEST(History, TwoHundredRandomActionsAreTakenBackAndDoneAgain) {
  for (const uint32_t seed : {1U, 2U, 3U}) {
    HistoryRig rig;
    std::mt19937 random(seed);
    std::vector<UndoState> states = {rig.now()};
    for (int i = 0; i < 200; ++i) {
      act_at_random(rig, random);
      rig.rest();
      if (rig.now() != states.back()) states.push_back(rig.now());
    }
    ASSERT_GT(states.size(), 150U);
    for (size_t i = states.size() - 1; i > 0; --i) {
      ASSERT_TRUE(rig.back());
      ASSERT_EQ(rig.now(), states[i - 1]) << "seed " << seed << ", state " << i - 1;
    }
    EXPECT_FALSE(rig.back()) << "this is how it was opened";
    for (size_t i = 1; i < states.size(); ++i) {
      ASSERT_TRUE(rig.forward());
      ASSERT_EQ(rig.now(), states[i]) << "seed " << seed << ", state " << i;
    }
    EXPECT_FALSE(rig.forward());
  }
}

TEST(History, ADragIsOneEntryWithTheValuesAtItsEnds) {
  HistoryRig rig;
  for (int64_t k = 64; k <= 128; ++k) {
    rig.session.set_settings(with_budget(k));
    rig.hold(), rig.hold();
  }
  EXPECT_EQ(rig.history().entries().size(), 1U) << "the button is still held";
  rig.rest();
  ASSERT_EQ(rig.history().entries().size(), 2U);
  EXPECT_EQ(rig.history().entries()[1].change, "K 64 \u2192 128");
}

// Who zooms with twenty clicks of the wheel wants them back as one, but never a setting with them.
TEST(History, MovesThatFollowEachOtherAreOneAndSettingsNever) {
  HistoryRig rig;
  for (int i = 0; i < 20; ++i) {
    rig.view.steps.high += 1;
    rig.rest(0.1);
  }
  EXPECT_EQ(rig.history().entries().size(), 2U);
  for (int64_t k = 65; k < 70; ++k) {
    rig.session.set_settings(with_budget(k));
    rig.rest(0.1);
  }
  EXPECT_EQ(rig.history().entries().size(), 7U);
  rig.view.steps.high += 1;
  rig.rest(3);
  EXPECT_EQ(rig.history().entries().size(), 8U);
}

TEST(History, WhatIsNotRecordedYetIsTakenBackToo) {
  HistoryRig rig;
  const UndoState start = rig.now();
  rig.session.set_settings(with_budget(99));
  const UndoState changed = rig.now();
  ASSERT_TRUE(rig.back()) << "no frame has passed";
  EXPECT_EQ(rig.now(), start);
  ASSERT_TRUE(rig.forward());
  EXPECT_EQ(rig.now(), changed);
}

TEST(History, AChangeAfterUndoForgetsWhatWasUndone) {
  HistoryRig rig;
  for (const int64_t k : {70, 80, 90}) rig.session.set_settings(with_budget(k)), rig.rest();
  rig.back(), rig.back();
  rig.session.set_settings(with_budget(33));
  rig.rest();
  EXPECT_FALSE(rig.forward());
  ASSERT_TRUE(rig.back());
  EXPECT_EQ(rig.session.settings(), with_budget(70));
}

// A day's looking around must not cost the settings of the morning.
TEST(History, OfTooManyEntriesTheSettingsStay) {
  HistoryRig rig;
  for (int i = 0; i < 2000; ++i) {
    if (i % 20 == 0) rig.session.set_settings(with_budget(10 + i));
    rig.session.select_step(1 + i % 16);
    rig.view.steps.high += 1;
    rig.rest();
  }
  EXPECT_EQ(rig.history().entries().size(), History::kMost);
  int n_setting = 0;
  for (size_t i = 1; i < rig.history().entries().size(); ++i) {
    const Settings &a = rig.history().entries()[i - 1].state.settings, &b = rig.history().entries()[i].state.settings;
    if (a != b) ++n_setting;
  }
  EXPECT_EQ(n_setting, 100) << "one of them is where it began";
  const UndoState last = rig.now();
  int n = 0;
  while (rig.back()) ++n;
  EXPECT_EQ(n, static_cast<int>(History::kMost) - 1);
  while (rig.forward()) {
  }
  EXPECT_EQ(rig.now(), last);
}

// A recording that is followed is opened anew every few steps: what was done before can still be taken back, and that
// the selected step went on is nothing to take back.
TEST(History, OfATraceThatGrowsNothingIsForgottenAndNothingAdded) {
  const auto shape = std::make_shared<SyntheticShape>(kShape);
  constexpr int32_t kMore = 8;
  shape->n_step -= kMore;  // as the made-up source's width of a head, which follows the length, must not change
  Session session([shape](const std::filesystem::path&) { return make_synthetic_source(*shape); }, [] {},
                  {.n_thread = 2});
  SharedView view;
  double time = 0;
  const auto settle = [&] {
    for (bool idle = false; !idle; sleep_a_little()) idle = session.idle(), session.update();
    time += 2;
    for (int i = 0; i < 2; ++i) session.data<History>().observe(undo_state(session, view), true, time);
  };
  session.open("trace.h5");
  settle();
  const Settings before = session.settings();
  session.set_settings(with_budget(24));
  settle();
  shape->n_step += kMore;
  session.reopen();
  settle();
  ASSERT_EQ(session.trace()->info.n_step, kShape.n_step);
  ASSERT_EQ(session.data<History>().entries().size(), 2U) << session.data<History>().entries().back().change;
  apply(*session.data<History>().undo(undo_state(session, view)), session, view);
  EXPECT_EQ(session.settings(), before);
  session.open("other.h5");
  settle();
  EXPECT_EQ(session.data<History>().entries().size(), 1U) << "of another trace";
}

// A plot may round the limits that it is given: that is no change of the user's, and must not cost the way forward.
TEST(History, LimitsThatAPlotRoundedAreNoChange) {
  HistoryRig rig;
  rig.view.steps = {1, 9};
  rig.rest();
  rig.session.set_settings(with_budget(77));
  rig.rest();
  apply(*rig.history().undo(rig.now()), rig.session, rig.view);
  rig.view.steps.high += 1e-9;
  rig.rest();
  EXPECT_TRUE(rig.forward());
  EXPECT_EQ(rig.session.settings(), with_budget(77));
}

}  // namespace
}  // namespace reattend::viz::testing
