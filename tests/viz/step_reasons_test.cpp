// Why a step is full or partial must be what the replay decided by, whatever the policy.
#include <utility>

#include <gtest/gtest.h>

#include "session_rig.h"
#include "viz/session/step_reasons.h"

namespace reattend::viz::testing {
namespace {

using Kind = StepReason::Kind;

class Reasons : public ::testing::Test {
 protected:
  Reasons() { rig.open(); }
  /// Runs `check` on every step and KV head of the selected layer under these settings.
  template <class Check>
  void each_step(const Settings& settings, const Check& check) {
    rig.session.set_settings(settings);
    rig.settle();
    ASSERT_EQ(rig.session.replay_error(), "");
    const LayerReplay& layer = *rig.session.layer();
    const StepReasons reasons(layer, settings, rig.session.trace()->info);
    for (int32_t t = 1; t <= rig.shape.n_step; ++t) {
      for (int32_t g = 0; g < rig.shape.n_kv_head; ++g) {
        SCOPED_TRACE(::testing::Message() << settings.summary() << ", step " << t << ", KV head " << g);
        const auto at = static_cast<size_t>((t - 1) * rig.shape.n_kv_head + g);
        check(reasons.of(t, g), t, layer.full[at] != 0, layer.cos[at]);
      }
    }
  }
  static Settings recycled(int64_t stride, const char* schedule = "fixed", double threshold = 0.85) {
    Settings settings("recycled");
    settings.set("S", stride);
    settings.set("schedule", std::string(schedule));
    if (std::string(schedule) == "query") settings.set("threshold", threshold);
    return settings;
  }
  Rig rig;
};

TEST_F(Reasons, AScheduleSaysWhichStepsAreDueAndWhenTheNextOneIs) {
  for (const char* refresh : {"attend", "score_only"}) {
    Settings settings = recycled(6);
    settings.set("refresh", std::string(refresh));
    each_step(settings, [](const StepReason& reason, int32_t t, bool full, float) {
      EXPECT_EQ(reason.kind, full ? Kind::scheduled : Kind::not_due);
      EXPECT_EQ(in_words(reason), t % 6 == 0 ? "due by the schedule, S = 6"
                                             : "not due before step " + std::to_string(t / 6 * 6 + 6) + ", S = 6");
    });
  }
}

TEST_F(Reasons, AGateSaysOnWhichSideOfTheThresholdTheQueryIs) {
  for (const char* granularity : {"layer", "kv_head"}) {
    int n_drifted = 0, n_alike = 0;
    for (const double threshold : {0.99, 0.97, 0.93, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5}) {
      Settings settings = recycled(4, "query", threshold);
      settings.set("granularity", std::string(granularity));
      each_step(settings, [&](const StepReason& reason, int32_t t, bool full, float cosine) {
        if (t % 4 != 0) {
          EXPECT_EQ(reason.kind, Kind::not_due);
          return;
        }
        EXPECT_EQ(reason.kind, full ? Kind::drifted : Kind::alike);
        EXPECT_EQ(full, !(double{cosine} > threshold));
        EXPECT_EQ(reason.similarity, cosine);
        EXPECT_EQ(reason.threshold, threshold);
        ++(full ? n_drifted : n_alike);
      });
    }
    EXPECT_GT(n_drifted, 0) << granularity << ": a test of nothing";
    EXPECT_GT(n_alike, 0) << granularity << ": a test of nothing";
  }
}

TEST_F(Reasons, DenseLayersAndStridesWithoutAnEndAreSaid) {
  Settings dense = recycled(6);
  dense.set("dense_layers", std::vector<int64_t>{0, 2});
  rig.session.select_layer(2);
  each_step(dense, [](const StepReason& reason, int32_t, bool full, float) {
    EXPECT_TRUE(full);
    EXPECT_EQ(reason.kind, Kind::dense);
  });
  Settings never("recycled");
  never.set("S", std::string("never"));
  each_step(never, [](const StepReason& reason, int32_t, bool full, float) {
    EXPECT_FALSE(full);
    EXPECT_EQ(in_words(reason), "no step is due, S = never");
  });
}

TEST_F(Reasons, PoliciesThatChooseByThemselvesSayHow) {
  each_step(Settings("full"), [](const StepReason& reason, int32_t, bool full, float) {
    EXPECT_TRUE(full);
    EXPECT_EQ(reason.kind, Kind::every_step);
  });
  each_step(Settings("tokenselect"), [](const StepReason& reason, int32_t t, bool full, float cosine) {
    EXPECT_EQ(reason.kind, t == 1 ? Kind::first : full ? Kind::drifted : Kind::alike);
    if (t > 1) {
      EXPECT_EQ(full, double{cosine} < reason.threshold) << "its gate keeps what equals the threshold";
    }
  });
  const std::pair<const char*, Kind> others[] = {{"h2o", Kind::within},
                                                 {"quest", Kind::within},
                                                 {"oracle", Kind::within},
                                                 {"tova", Kind::behind},
                                                 {"snapkv", Kind::keeps}};
  for (const auto& [policy, kind] : others) {
    Settings settings(policy);
    settings.set("K", int64_t{80});
    if (settings.takes("dense_layers")) settings.set("dense_layers", std::vector<int64_t>{});
    each_step(settings, [kind = kind](const StepReason& reason, int32_t, bool full, float) {
      EXPECT_FALSE(full);
      EXPECT_EQ(reason.kind, kind);
    });
  }
}

TEST_F(Reasons, WhatKeepsAllThereIsSaysSo) {
  Settings wide = recycled(6);
  wide.set("K", int64_t{rig.shape.n_prompt + rig.shape.n_step});
  each_step(wide, [](const StepReason& reason, int32_t t, bool, float) {
    EXPECT_EQ(reason.kind, t % 6 == 0 ? Kind::scheduled : Kind::everything);
  });
}

}  // namespace
}  // namespace reattend::viz::testing
