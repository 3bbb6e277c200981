// The ledger: every price is a replay of the changed setting, shares are of the whole, and clicks lead where the tuner
// goes.
#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "policies/layer_schedule.h"
#include "policies/value_text.h"
#include "session_rig.h"
#include "tune/judge.h"
#include "viz/session/goal.h"
#include "viz/session/ledger.h"

namespace reattend::viz::testing {
namespace {

const SyntheticShape kShape = {.n_layer = 5, .n_head = 4, .n_prompt = 256, .n_step = 24, .sha256 = kSmolLM2};

struct LedgerRig : Rig {
  explicit LedgerRig(const SyntheticShape& made = kShape) : Rig(made) {}
  /// As a panel asks, in every frame, until all prices are there.
  const LedgerPage& page() {
    for (;; sleep_a_little()) {
      session.update();
      const LedgerPage* const found = session.data<Ledger>().ask();
      if (found != nullptr && found->priced() && found->settings == session.settings() && session.idle()) return *found;
    }
  }
  Metrics plain(const Settings& settings) {
    ThreadPool pool(1);
    Replayer replayer(make_synthetic_source(shape), pool);
    const TuneResult& tuned = *session.tuning();
    return judge(tuned, 0, replayer.run(request_to_judge(tuned.prediction, settings, {}), {}, {}).layers);
  }
};

TEST(Ledger, EveryPriceIsAReplayOfTheChangedSetting) {
  for (const bool values : {true, false}) {
    SyntheticShape shape = kShape;
    shape.values = values;
    LedgerRig rig(shape);
    rig.open();
    Settings gated("recycled");
    gated.set("schedule", std::string("query"));
    gated.set("S", int64_t{4});
    for (const Settings& settings : {with_budget(40), gated}) {
      rig.session.set_settings(settings);
      const LedgerPage page = rig.page();
      ASSERT_EQ(page.rows.size(), 5U);
      int n = 0;
      for (const LedgerRow& row : page.rows) {
        for (const std::optional<Price>& price : {row.more, row.less}) {
          if (!price) continue;
          const Metrics changed = rig.plain(price->settings);
          EXPECT_EQ(price->kl, changed.predicted_kl - page.metrics.predicted_kl) << price->change;
          EXPECT_EQ(price->cost, changed.cost - page.metrics.cost) << price->change;
          EXPECT_NE(price->settings, settings);
          EXPECT_EQ(in_layer(price->settings, (row.layer + 1) % 5), in_layer(settings, 0)) << "one layer alone";
          ++n;
        }
        EXPECT_TRUE(!row.more || row.more->error < 0);
        EXPECT_TRUE(!row.less || row.less->cost < 0);
      }
      EXPECT_GE(n, 8) << settings.summary();
    }
  }
}

TEST(Ledger, SharesAreOfTheWholeAndRowsAreTheReplays) {
  LedgerRig rig;
  rig.open();
  const LedgerPage& page = rig.page();
  double shares = 0, cost = 0;
  for (const LedgerRow& row : page.rows) {
    shares += row.share, cost += row.cost;
    const ReplaySummary& layer = rig.session.answer()->per_layer[static_cast<size_t>(row.layer)];
    EXPECT_EQ(row.lost, layer.lost);
    EXPECT_EQ(row.output_error, layer.output_error_mean);
  }
  EXPECT_NEAR(shares, 1, 1e-12);
  EXPECT_EQ(page.rows[0].share, 0) << "the law looks at the second half of the layers";
  EXPECT_NEAR(cost + 3, page.metrics.cost, 1e-9) << "and the weights, which are no layer's";
  EXPECT_EQ(page.metrics.predicted_kl, rig.session.data<Goal>().judged()->metrics.predicted_kl);
  rig.session.set_settings(Settings("full"));
  for (const LedgerRow& row : rig.page().rows) {
    EXPECT_EQ(row.share, 0);
    EXPECT_FALSE(row.more || row.less) << "full attention has nothing to give or take";
  }
}

TEST(Ledger, AClickMovesAboutTheAmountAndTheRightWay) {
  LedgerRig rig;
  rig.open();
  rig.session.set_settings(with_budget(40));
  const LedgerPage page = rig.page();
  double dearest = 0, largest = 0;
  for (const LedgerRow& row : page.rows) {
    if (row.more) dearest = std::max(dearest, row.more->cost);
    if (row.less) largest = std::max(largest, -row.less->cost);
  }
  const Metrics spent = rig.plain(spend(page, 2 * dearest, 5).value());
  EXPECT_GT(spent.cost, page.metrics.cost);
  EXPECT_LE(spent.cost, page.metrics.cost + 2 * dearest + 1e-9);
  EXPECT_LT(spent.estimate, page.metrics.estimate);
  const Metrics saved = rig.plain(save(page, 2 * largest, 5).value());
  EXPECT_LT(saved.cost, page.metrics.cost);
  EXPECT_GE(saved.cost, page.metrics.cost - 2 * largest - 1e-9);
  EXPECT_TRUE(spend(page, 0, 5).has_value()) << "one step at least";
  EXPECT_FALSE(spend({.settings = with_budget(40), .metrics = {}, .rows = {}}, 1, 5).has_value());
}

TEST(Ledger, ALayerIsEditedWithoutTheOthers) {
  const Settings one = with_budget(64);
  const Settings edited = with_value(one, "K", std::string("L/4"), {2}, 5);
  edited.check_against_model(5);
  EXPECT_EQ(edited.count("K", 2, 400), 100);
  EXPECT_EQ(edited.count("K", 1, 400), 64);
  EXPECT_EQ(in_layer(edited, 1), one);
  EXPECT_EQ(with_value(edited, "K", int64_t{64}, {2}, 5), one) << "all alike is one value again";
  EXPECT_EQ(layer_keys(one), (std::vector<std::string>{"S", "K"}));
  Settings gated = one;
  gated.let_decide("threshold");
  EXPECT_EQ(layer_keys(gated), (std::vector<std::string>{"S", "K", "threshold"}));
  EXPECT_TRUE(layer_keys(Settings("full")).empty());
}

// From the default setting, by clicks alone: at the KL of the tuner's schedule by layer the time is within a tenth.
TEST(Ledger, TwentyClicksComeNearTheTunersSchedule) {
  LedgerRig rig;
  rig.open();
  TuneBounds bounds;
  bounds.max_kl = 0.05;
  rig.session.set_bounds(bounds);
  ThreadPool pool(1);
  Replayer replayer(make_synthetic_source(rig.shape), pool);
  Replayer* const one[] = {&replayer};
  TuneOptions options;
  options.grid.bases = {Settings("recycled")};
  options.bounds = bounds;
  const TuneResult result = tune(one, options, {}, {}, {});
  double best = HUGE_VAL;
  for (int click = 0; click < 20; ++click) {
    const LedgerPage& page = rig.page();
    const bool within = page.metrics.predicted_kl <= bounds.max_kl;
    if (within) best = std::min(best, page.metrics.cost);
    const double amount = 0.02 * rig.session.tuning()->full_cost;
    const std::optional<Settings> next = within ? save(page, amount, 5) : spend(page, amount, 5);
    ASSERT_TRUE(next.has_value());
    rig.session.set_settings(*next);
  }
  EXPECT_LE(best, 1.1 * result.best().cost) << result.best().settings.summary();
}

}  // namespace
}  // namespace reattend::viz::testing
