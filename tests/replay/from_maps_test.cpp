// A replay from maps alone: the exact mass lies in every interval, and intervals are as narrow as the maps allow.
#include <gtest/gtest.h>

#include "tests/replay/compare.h"

namespace reattend {
namespace {

/// A hand-made run with the maps that a recorder would have stored.
class WithMaps final : public ReplaySource {
 public:
  WithMaps(const HandMadeShape& shape, unsigned seed, int32_t n_map) : run(std::make_shared<HandMade>(shape, seed)) {
    run->info().maps = Maps::top, run->info().n_map = n_map;
  }
  const TraceInfo& info() const override { return run->info(); }
  LayerData layer(int32_t layer) override { return run->layer(layer); }
  std::vector<float> prompt_queries(int32_t layer) override { return run->prompt_queries(layer); }
  std::vector<float> prompt_row_sums(int32_t layer) override { return run->prompt_row_sums(layer); }
  MapData map(int32_t layer, int32_t kv_head) override {
    MapData out{
        .maps = Maps::top, .n_row = info().n_step, .n_kept = info().n_map, .positions = {}, .weights = {}, .rest = {}};
    const BruteRows rows(*run);
    for (int32_t t = 1; t <= info().n_step; ++t) {
      const std::vector<double> row = rows.mean_row(layer, kv_head, t);
      const auto order = BruteRows::best(BruteRows::range(0, static_cast<int32_t>(row.size())), row, info().n_map);
      double rest = 1;
      const bool measured = t != unmeasured;
      for (size_t i = 0; i < static_cast<size_t>(info().n_map); ++i) {
        const bool there = i < order.size() && measured;
        out.positions.push_back(there ? order[i] : -1);
        out.weights.push_back(there ? static_cast<float>(row[order[i]]) : measured ? 0 : NAN);
        if (there) rest -= row[order[i]];
      }
      out.rest.push_back(measured ? static_cast<float>(std::max(0.0, rest)) : NAN);
    }
    return out;
  }

  std::shared_ptr<HandMade> run;
  int32_t unmeasured = 0;  ///< a step that the recorder did not look at
};

ReplayResult from_maps(Replayer& replayer, const Settings& settings) {
  return replayer.run({.settings = settings, .layers = {}, .from_maps = true}, kQuiet, Cancel());
}

std::vector<Settings> known() {
  const auto text = [](const char* s) { return Value(std::string(s)); };
  std::vector<Settings> all = {Settings("full"), settings_of("streaming", {{"K", int64_t{9}}}),
                               settings_of("streaming", {{"K", int64_t{60}}}),
                               settings_of("streaming_refresh", {{"K", int64_t{9}}, {"S", int64_t{3}}})};
  for (const char* reduce : {"mean", "max", "first"}) {
    for (const int64_t pool : {1, 3, 7}) {
      for (const int64_t k : {1, 5, 12, 30, 200}) {
        all.push_back(settings_of("oracle", {{"K", k}, {"reduce", text(reduce)}, {"pool", pool}}));
        all.push_back(settings_of("recycled", {{"K", k}, {"S", int64_t{4}}, {"reduce", text(reduce)}, {"pool", pool}}));
      }
    }
  }
  all.push_back(settings_of("recycled", {{"K", int64_t{12}}, {"S", int64_t{3}}, {"refresh", text("score_only")}}));
  all.push_back(settings_of("recycled", {{"K", int64_t{3}}, {"S", int64_t{9}}}));
  return all;
}

TEST(FromMaps, TheExactMassLiesInEveryInterval) {
  ThreadPool pool(1);
  const HandMadeShape kShapes[] = {{}, {.n_layer = 1, .n_head = 2, .n_kv_head = 2}, {.n_layer = 1, .n_prompt = 3}};
  for (const HandMadeShape& shape : kShapes) {
    for (const int32_t n_map : {1, 4, 16, 100}) {
      const auto source = std::make_shared<WithMaps>(shape, 7, n_map);
      Replayer replayer(source, pool);
      for (const Settings& settings : known()) {
        const ReplayResult exact = replay(replayer, settings, false), bounds = from_maps(replayer, settings);
        EXPECT_TRUE(bounds.from_maps);
        for (size_t l = 0; l < exact.layers.size(); ++l) {
          const LayerReplay &mine = bounds.layers[l], &right = exact.layers[l];
          EXPECT_EQ(mine.full, right.full);
          for (size_t i = 0; i < right.full.size(); ++i) {
            const std::string where =
                settings.summary() + " M " + std::to_string(n_map) + " entry " + std::to_string(i);
            ASSERT_LE(mine.recovered[i], right.recovered[i] + 2e-6) << where;
            ASSERT_GE(mine.recovered_upper[i], right.recovered[i] - 2e-6) << where;
            ASSERT_GE(mine.oracle[i], right.oracle[i] - 2e-6) << where;
            ASSERT_LE(mine.recovered_upper[i], 1 + 2e-6) << where;
            ASSERT_GE(mine.positions[i], right.positions[i]) << where;
          }
        }
        EXPECT_LE(bounds.total.recovered, exact.total.recovered + 2e-6);
        EXPECT_GE(bounds.total.recovered_upper, exact.total.recovered - 2e-6);
        if (settings.policy() != "oracle") {
          EXPECT_NEAR(bounds.total.bytes_attend, exact.total.bytes_attend, 1e-6) << settings.summary();
        }
        EXPECT_TRUE(std::isnan(exact.total.recovered_upper));
      }
    }
  }
}

TEST(FromMaps, MapsThatHoldWholeRowsLeaveNothingOpen) {
  ThreadPool pool(1);
  const auto source = std::make_shared<WithMaps>(HandMadeShape{}, 9, 64);
  Replayer replayer(source, pool);
  // Step 0 has no map: what it chose is open until the first refresh.
  const Settings streaming = settings_of("streaming", {{"K", int64_t{9}}});
  const Settings recycled = settings_of(
      "recycled", {{"K", int64_t{9}}, {"S", int64_t{4}}, {"reduce", std::string("mean")}, {"pool", int64_t{1}}});
  for (const auto& [settings, first] : {std::pair{streaming, 1}, {recycled, 4}}) {
    const ReplayResult exact = replay(replayer, settings, false), bounds = from_maps(replayer, settings);
    for (size_t l = 0; l < exact.layers.size(); ++l) {
      const auto n_kv = static_cast<size_t>(source->info().n_kv_head);
      for (size_t i = static_cast<size_t>(first - 1) * n_kv; i < exact.layers[l].full.size(); ++i) {
        ASSERT_NEAR(bounds.layers[l].recovered[i], exact.layers[l].recovered[i], 2e-6) << settings.summary() << i;
        ASSERT_NEAR(bounds.layers[l].recovered_upper[i], exact.layers[l].recovered[i], 2e-6) << settings.summary() << i;
        ASSERT_NEAR(bounds.layers[l].oracle[i], exact.layers[l].oracle[i], 2e-6) << settings.summary() << i;
      }
    }
  }
}

TEST(FromMaps, AStepThatWasNotMeasuredIsLeftOut) {
  ThreadPool pool(1);
  const auto source = std::make_shared<WithMaps>(HandMadeShape{}, 9, 8);
  source->unmeasured = 8;
  Replayer replayer(source, pool);
  const Settings settings = settings_of("recycled", {{"K", int64_t{9}}, {"S", int64_t{4}}});
  const ReplayResult exact = replay(replayer, settings, false), bounds = from_maps(replayer, settings);
  const auto n_kv = static_cast<size_t>(source->info().n_kv_head);
  for (size_t i = 0; i < exact.layers[0].full.size(); ++i) {
    if (i / n_kv + 1 == 8) {
      EXPECT_TRUE(std::isnan(bounds.layers[0].recovered[i]));
      continue;
    }
    EXPECT_LE(bounds.layers[0].recovered[i], exact.layers[0].recovered[i] + 2e-6);
    EXPECT_GE(bounds.layers[0].recovered_upper[i], exact.layers[0].recovered[i] - 2e-6);
  }
}

TEST(FromMaps, WhatMapsCannotTellIsSaid) {
  ThreadPool pool(1);
  const auto source = std::make_shared<WithMaps>(HandMadeShape{}, 9, 8);
  Replayer replayer(source, pool);
  const auto message = [&](const Settings& settings) {
    try {
      from_maps(replayer, settings);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  for (const char* policy : {"h2o", "tova", "quest", "tokenselect", "snapkv"}) {
    Settings settings = settings_of(policy, {{"K", int64_t{32}}});
    if (settings.policy() == "quest") settings.set("dense_layers", std::vector<int64_t>{});
    EXPECT_NE(message(settings).find("without --from-maps"), std::string::npos) << policy;
  }
  const Settings gated = settings_of("recycled", {{"K", int64_t{9}}, {"schedule", std::string("query")}});
  EXPECT_NE(message(gated).find("schedule = fixed"), std::string::npos);
  source->run->info().maps = Maps::none;
  Replayer other(source, pool);
  EXPECT_THROW(from_maps(other, settings_of("streaming", {{"K", int64_t{9}}})), Error);
}

}  // namespace
}  // namespace reattend
