// Analyses of runs whose rows and queries are chosen, so that every number is known by hand.
#include <gtest/gtest.h>

#include <cstring>

#include "base/error.h"
#include "replay/analysis/analyse.h"
#include "tests/replay/analysis/chosen_rows.h"

namespace reattend {
namespace {

constexpr double kClose = 2e-5;
const Cancel kGoOn;

/// A replayer over a run, and threads for both.
struct Rig {
  explicit Rig(std::shared_ptr<ReplaySource> run, int n_thread = 2) : threads(n_thread), replayer(run, threads) {}
  const PreparedLayer& layer(int32_t l) { return replayer.layer(l, kGoOn); }
  ThreadPool threads;
  Replayer replayer;
};

HandMadeShape one_head(int32_t n_prompt, int32_t n_step, int32_t n_layer = 1) {
  return {.n_layer = n_layer, .n_head = 1, .n_kv_head = 1, .d_head = 16, .n_prompt = n_prompt, .n_step = n_step};
}

/// 0.4 on positions t and t + 1, the rest evenly: the pair of hot positions moves on with every step.
double moving_pair(int32_t, int32_t, int32_t t, int32_t j) {
  return j == t || j == t + 1 ? 0.4 : 0.2 / (4 + t);
}

TEST(Overlap, OfAMovingPairIsHalfAfterOneStepAndNothingAfterTwo) {
  Rig rig(chosen_rows(one_head(6, 4), moving_pair));
  const LayerOverlap all = overlap_by_lag(
      rig.layer(0), 0, {.lags = {1, 2, 4}, .budgets = {100, 2}, .reduce = Reduce::max, .pool = 1}, rig.threads, kGoOn);
  for (int32_t t = 1; t <= 4; ++t) {
    const double rest = 0.2 / (4 + t);
    const AgedSet& one = all.of(0, 1)[t - 1];
    EXPECT_FLOAT_EQ(one.overlap, 0.5F);
    EXPECT_NEAR(one.stale, 0.4 + rest, kClose);
    EXPECT_NEAR(one.attended, 0.4 + 2 * rest, kClose) << "both of the old pair, and the current position";
    EXPECT_NEAR(one.oracle, 0.8, kClose);
    EXPECT_NEAR(one.attended_oracle, 0.8 + rest, kClose);
    const AgedSet& whole = all.of(0, 0)[t - 1];  // K beyond the row: everything but what came since
    EXPECT_FLOAT_EQ(whole.overlap, static_cast<float>(5 + t) / static_cast<float>(6 + t));
    EXPECT_NEAR(whole.stale, 1 - rest, kClose);
    EXPECT_NEAR(whole.attended, 1, kClose);
    EXPECT_NEAR(whole.oracle, 1, kClose);
    const AgedSet& two = all.of(1, 1)[t - 1];
    if (t < 2) {
      EXPECT_TRUE(std::isnan(two.overlap) && std::isnan(two.attended)) << "there is no step before the prompt's last";
      continue;
    }
    EXPECT_EQ(two.overlap, 0);
    EXPECT_NEAR(two.stale, 2 * rest, kClose);
    EXPECT_NEAR(two.attended, 3 * rest, kClose) << "one of the old pair left for the second new position";
  }
  const AgedSet& last = all.of(2, 1)[3];
  EXPECT_NEAR(last.attended, 4 * 0.025, kClose) << "older than K: only what came since, none of which is ever lost";
  EXPECT_NEAR(last.attended_oracle, 0.8 + 2 * 0.025, kClose);
  const AgedMeans means = aged_means(std::span(&all, 1), 2, 1);
  EXPECT_EQ(means.n, 1);
  EXPECT_NEAR(means.attended_of_oracle.mean, 0.1 / 0.85, kClose);
  EXPECT_NEAR(aged_means(std::span(&all, 1), 0, 1).overlap, 0.5, 1e-6);
}

TEST(Overlap, AtTheAgeOfASetIsWhatTheReplayOfThatScheduleFinds) {
  Rig rig(std::make_shared<HandMade>(HandMadeShape{}, 5U));
  Settings settings("recycled");
  settings.set("K", int64_t{10});
  settings.set("S", int64_t{4});
  const LayerReplay replay = rig.replayer.run({.settings = settings, .layers = {1}}, {}, kGoOn).layers[0];
  const LayerOverlap all = overlap_by_lag(rig.layer(1), 1, {.lags = {3, 1, 2}, .budgets = {10}}, rig.threads, kGoOn);
  for (int32_t t = 1; t <= all.n_step; ++t) {
    if (t % 4 == 0) continue;
    for (int32_t g = 0; g < all.n_kv_head; ++g) {
      const size_t at = static_cast<size_t>(t - 1) * all.n_kv_head + g;
      const AgedSet& aged = all.of(static_cast<size_t>(t % 4 == 3 ? 0 : t % 4), 0)[at];
      EXPECT_NEAR(aged.attended, replay.recovered[at], 1e-5) << t;
      EXPECT_NEAR(aged.attended_oracle, replay.oracle[at], 1e-5) << t;
      EXPECT_NEAR(aged.overlap, replay.overlap[at], 1e-6) << t;
    }
  }
}

TEST(Overlap, RefusesAgesAndBudgetsBelowOne) {
  Rig rig(chosen_rows(one_head(6, 4), moving_pair));
  for (const OverlapRequest& wrong : {OverlapRequest{.lags = {0}, .budgets = {2}}, {.lags = {1}, .budgets = {0}}}) {
    EXPECT_THROW(overlap_by_lag(rig.layer(0), 0, wrong, rig.threads, kGoOn), Error);
  }
}

TEST(Coverage, OfHalvesIsOneMinusAPowerOfTwo) {
  Rig rig(chosen_rows(one_head(8, 3), [](int32_t, int32_t, int32_t t, int32_t j) {
    const int32_t n = 8 + t, place = (j + t) % n;  // wherever they lie
    return std::pow(2.0, -std::min(place + 1, n - 1));
  }));
  const LayerCoverage found =
      coverage(rig.layer(0), 0, {.budgets = {1, 2, 3, 50}, .levels = {0.49, 0.74, 0.8, 0.99, 1}}, rig.threads, kGoOn);
  const std::span all(&found, 1);
  const double masses[] = {0.5, 0.75, 0.875, 1};
  for (size_t i = 0; i < 4; ++i) {
    const Spread s = coverage_spread(all, &LayerCoverage::mass, i);
    EXPECT_EQ(s.n, 3);
    EXPECT_NEAR(s.min, masses[i], kClose);
    EXPECT_NEAR(s.max, masses[i], kClose);
  }
  const double needed[] = {1, 2, 3, 7};
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(coverage_spread(all, &LayerCoverage::needed, i).p50, needed[i]);
  EXPECT_LE(coverage_spread(all, &LayerCoverage::needed, 4).max, 11) << "never more than there are";
}

/// Queries that stand still after RoPE, in its fastest pair: before RoPE they turn by a radian a step.
std::shared_ptr<HandMade> turning(int32_t n_step) {
  auto run = std::make_shared<HandMade>(one_head(8, n_step), 3U);
  std::vector<float>& queries = run->data(0).queries;
  for (size_t i = 0; i < queries.size(); ++i) queries[i] = i % 16 == 0 ? 1.0F : 0.0F;
  return run;
}

TEST(Cosine, OfTurningQueriesIsTheCosineOfTheStepsBetween) {
  Rig rig(turning(8));
  const std::vector<int32_t> strides = {4};
  const LayerCosine found = cosines(rig.layer(0), 0, strides, {}, rig.threads, kGoOn);
  const std::span all(&found, 1);
  const Spread previous = cosine_spread(all, 0, 0), refresh = cosine_spread(all, 0, 1);
  EXPECT_EQ(previous.n, 8);
  EXPECT_NEAR(previous.min, std::cos(1.0), kClose);
  EXPECT_NEAR(previous.max, std::cos(1.0), kClose);
  EXPECT_NEAR(refresh.min, std::cos(3.0), kClose) << "1 to 4 steps after a refresh";
  EXPECT_NEAR(refresh.p50, std::cos(4.0), kClose);
  EXPECT_NEAR(refresh.max, std::cos(1.0), kClose);
  EXPECT_NEAR(cosine_spread(all, 1, 1).min, 1, kClose) << "after RoPE they stand still";
}

GateCases cases_of(std::vector<float> cosine, std::vector<float> normalised) {
  return {.cosine = {cosine, std::move(cosine)}, .normalised = std::move(normalised)};
}

TEST(Gate, ThatOrdersAllCasesRightlyHasAnAreaOfOne) {
  const GateCases cases = cases_of({0.8F, 0.5F, 0.9F, 0.6F}, {0.95F, 0.5F, 0.99F, 0.7F});
  const GateCurve curve = gate_curve(std::span(&cases, 1), 0, 0.9);
  EXPECT_DOUBLE_EQ(curve.auc, 1);
  EXPECT_NEAR(curve.points[curve.best].threshold, 0.7, 1e-6) << "half way between the last bad and the first good one";
  EXPECT_DOUBLE_EQ(curve.points[curve.best].youden(), 1);
  EXPECT_DOUBLE_EQ(curve.points[curve.best].f1(), 1);
  EXPECT_EQ(curve.points.front().refreshed(), 0);
  EXPECT_EQ(curve.points.back().refreshed(), 1);
  const GateScore low = gate_score(std::span(&cases, 1), 0, 0.9, 0.55);
  EXPECT_EQ(low.hits, 1);
  EXPECT_DOUBLE_EQ(low.precision(), 1);
  EXPECT_DOUBLE_EQ(low.recall(), 0.5);
  EXPECT_DOUBLE_EQ(low.f1(), 2.0 / 3);
  EXPECT_EQ(gate_score(std::span(&cases, 1), 0, 0.9, 0.5).hits, 1) << "a cosine equal to the threshold does not stay";
}

TEST(Gate, IsJudgedByPairsTiesByHalves) {
  const GateCases mixed = cases_of({0.3F, 0.6F, 0.5F, 0.8F}, {0.1F, 0.1F, 1, 1});  // one of four pairs is wrong
  const GateCurve curve = gate_curve(std::span(&mixed, 1), 1, 0.9);
  EXPECT_DOUBLE_EQ(curve.auc, 0.75);
  EXPECT_NEAR(curve.points[curve.best].threshold, 0.4, 1e-6) << "0.7 is as good but refreshes more";
  const GateCases tied = cases_of({0.5F, 0.5F, 0.9F, 0.9F}, {0.1F, 1, 0.1F, 1});
  EXPECT_DOUBLE_EQ(gate_curve(std::span(&tied, 1), 0, 0.9).auc, 0.5);
  const std::vector<GateCases> both = {cases_of({0.1F}, {0}), cases_of({0.2F}, {1})};
  EXPECT_DOUBLE_EQ(gate_curve(both, 0, 0.9).auc, 1) << "layers are judged together";
}

TEST(Gate, WithoutBadOrGoodCasesHasNoCurve) {
  const GateCases good = cases_of({0.3F, 0.4F}, {1, 1});
  const GateCurve curve = gate_curve(std::span(&good, 1), 0, 0.9);
  EXPECT_FALSE(curve.has_both());
  EXPECT_TRUE(std::isnan(curve.auc));
  EXPECT_TRUE(std::isnan(gate_score(std::span(&good, 1), 0, 0.9, 0.35).recall()));
  EXPECT_DOUBLE_EQ(gate_score(std::span(&good, 1), 0, 0.9, 0.35).false_alarm_rate(), 0.5);
  EXPECT_FALSE(gate_curve({}, 0, 0.9).has_both());
}

TEST(Gate, SeesTheCosineAndTheMassOfTheSameStep) {
  Rig rig(std::make_shared<HandMade>(HandMadeShape{}, 9U));
  const LayerOverlap overlap = overlap_by_lag(rig.layer(0), 0, {.lags = {5}, .budgets = {8}}, rig.threads, kGoOn);
  const CosineRule heads = {.per_kv_head = true};
  const GateCases layer = gate_cases(rig.layer(0), overlap, 0, 0, OldSet::stale, {});
  const GateCases each = gate_cases(rig.layer(0), overlap, 0, 0, OldSet::attended, heads);
  ASSERT_EQ(layer.normalised.size(), 20U) << "steps 5 to 24";
  ASSERT_EQ(each.normalised.size(), 40U);
  const AgedSet* const third = overlap.of(0, 0) + int64_t{7 - 1} * 2;  // step 7
  EXPECT_NEAR(layer.normalised[2], (third[0].stale / third[0].oracle + third[1].stale / third[1].oracle) / 2, 1e-6);
  EXPECT_FLOAT_EQ(each.normalised[5], third[1].attended / third[1].attended_oracle);
  EXPECT_NEAR(layer.cosine[1][2], CosineRule{}(rig.layer(0), QueryStage::post_rope, 0, 7, 2), 1e-6);
  EXPECT_NEAR(each.cosine[0][5], heads(rig.layer(0), QueryStage::pre_rope, 1, 7, 2), 1e-6);
}

TEST(Stride, FollowsFromHowFastQueriesTurn) {
  Rig rig(turning(8));
  Settings base("recycled");
  base.set("K", int64_t{2});
  base.set("S", int64_t{1});
  const std::vector<double> thresholds = {0.5, 0.6};  // cos(1) = 0.54
  const LayerStride found = query_strides(rig.replayer, 0, base, thresholds, kGoOn);
  EXPECT_DOUBLE_EQ(found.runs[0].refreshes.stride(), 2) << "one step on it stays, two steps on it does not";
  EXPECT_DOUBLE_EQ(found.runs[1].refreshes.stride(), 1);
  EXPECT_NEAR(found.runs[1].normalised, 1, kClose);
  EXPECT_TRUE(std::isinf(found.runs[2].refreshes.stride())) << "after RoPE nothing moves";
}

TEST(Stride, AsRecordedIsOfTheLayerAsked) {
  TraceInfo info;
  info.n_layer = 2, info.n_kv_head = 2;
  StepData steps;
  steps.full = {1, 0, 0, 0, /* step 2 */ 1, 1, 0, 0};  // [2][2][2]
  EXPECT_DOUBLE_EQ(recorded_refreshes(info, steps, 0).stride(), 4.0 / 3);
  EXPECT_TRUE(std::isinf(recorded_refreshes(info, steps, 1).stride()));
  EXPECT_TRUE(std::isnan(Refreshes{}.stride()));
}

Settings streaming(int64_t sinks) {
  Settings out("streaming");
  out.set("K", int64_t{3});
  out.set("sinks", sinks);
  return out;
}

/// 0.5 on position 0, 0.3 on the current one, 0.2 on the one before; at step 3 on position 2, at step 5 three back.
double with_needle(int32_t, int32_t, int32_t t, int32_t j) {
  const int32_t p = 8 - 1 + t, other = t == 3 ? 2 : t == 5 ? p - 3 : p - 1;
  return j == 0 ? 0.5 : j == p ? 0.3 : j == other ? 0.2 : 0;
}

/// In two parts, as a long decode brings its steps.
LayerLost lost_of(Rig& rig, const LayerReplay& replay, const LostRequest& request) {
  const PreparedLayer& prepared = rig.layer(replay.layer);
  LostTokens lost(rig.replayer.info(), replay.layer, request);
  lost.add(prepared, {1, 2}, replay, rig.threads, kGoOn);
  lost.add(prepared, {3, prepared.n_step()}, replay, rig.threads, kGoOn);
  return lost.take();
}

TEST(Lost, TokensAreFoundWithTheirClassAndAge) {
  Rig rig(chosen_rows(one_head(8, 6, 2), with_needle));
  const LostRequest request = {.above = 0.01, .sinks = 1, .recent = 4};
  std::vector<LayerLost> layers;
  for (const int32_t l : {0, 1}) {
    const ReplayResult replay =
        rig.replayer.run({.settings = streaming(1), .layers = {l}, .keep_sets = true}, {}, kGoOn);
    layers.push_back(lost_of(rig, replay.layers[0], request));
  }
  const LayerLost& one = layers[0];
  EXPECT_EQ(one.n_row, 6);
  EXPECT_EQ(one.n_event, (std::array<int64_t, 3>{0, 1, 1}));
  EXPECT_NEAR(one.wanted[2], 0.2, kClose);
  EXPECT_NEAR(one.mass[1], 0.2, 1e-4);
  EXPECT_NEAR(one.mass[0], 0, kClose);
  EXPECT_NEAR(one.step[2][2], 0.2, 1e-4);
  EXPECT_NEAR(one.step[4][1], 0.2, 1e-4);
  const std::vector<LostToken> tokens = most_lost(layers, 10);
  ASSERT_EQ(tokens.size(), 2U);
  const LostToken& needle = tokens[tokens[0].kind == TokenClass::needle ? 0 : 1];
  const LostToken& recent = tokens[tokens[0].kind == TokenClass::needle ? 1 : 0];
  EXPECT_EQ(needle.position, 2);
  EXPECT_EQ(needle.n_event, 2) << "once in each layer";
  EXPECT_EQ(needle.n_step(), 1);
  EXPECT_EQ(needle.step, 3);
  EXPECT_NEAR(needle.mass, 0.4, kClose);
  EXPECT_NEAR(needle.largest, 0.2, kClose);
  EXPECT_DOUBLE_EQ(needle.away / 2, 3) << "since the prompt's last row";
  EXPECT_EQ(recent.position, 9);
  EXPECT_DOUBLE_EQ(recent.away / 2, 1) << "it left the window a step before";
  EXPECT_EQ(most_lost(layers, 1).size(), 1U);
}

TEST(Lost, SinksThatAPolicyForgetsAreSinks) {
  Rig rig(chosen_rows(one_head(8, 6), with_needle));
  const ReplayResult replay = rig.replayer.run({.settings = streaming(0), .keep_sets = true}, {}, kGoOn);
  const LayerLost lost = lost_of(rig, replay.layers[0], {.sinks = 1, .recent = 100});
  EXPECT_EQ(lost.n_event[0], 6);
  EXPECT_NEAR(lost.mass[0], 3, 1e-4);
  EXPECT_EQ(lost.n_event[2], 0) << "all others are recent here";
  EXPECT_NEAR(
      lost.mass[0] + lost.mass[1] + lost.mass[2],
      6 -
          [&] {
            double sum = 0;
            for (const float r : replay.layers[0].recovered) sum += r;
            return sum;
          }(),
      1e-4);
  EXPECT_EQ(class_of(0, 0, {.sinks = 1, .recent = 9}), TokenClass::sink) << "before it is recent";
}

TEST(Sensitivity, OrdersLayersByWhatTheyLose) {
  const double elsewhere[] = {0, 0.5, 0.2};  // on position 3, which no window holds
  Rig rig(chosen_rows(one_head(8, 6, 3), [&](int32_t l, int32_t, int32_t t, int32_t j) {
    return j == 3 ? elsewhere[l] : j == 8 - 1 + t ? 1 - elsewhere[l] : 0;
  }));
  std::vector<double> lost, error;
  const std::vector<int32_t> budgets = {2, 100};
  for (int32_t l = 0; l < 3; ++l) {
    const LayerSensitivity layer = sensitivity(rig.replayer, l, streaming(1), budgets, kGoOn);
    EXPECT_NEAR(layer.at[0].lost, elsewhere[l], 1e-4);
    EXPECT_NEAR(layer.at[1].lost, 0, 1e-6) << "a budget for everything";
    lost.push_back(layer.at[0].lost), error.push_back(layer.at[0].output_error_p95);
  }
  EXPECT_EQ(places(lost), (std::vector<int32_t>{3, 1, 2}));
  EXPECT_EQ(places(error)[1], 1);
  EXPECT_EQ(places(std::vector<double>{NAN, 1, 1}), (std::vector<int32_t>{3, 1, 2}));
}

TEST(Sensitivity, WithoutValuesHasNoErrorsButLosses) {
  HandMadeShape shape;
  shape.values = false;
  Rig rig(std::make_shared<HandMade>(shape, 4U));
  const std::vector<int32_t> budgets = {4};
  const LayerSensitivity layer = sensitivity(rig.replayer, 0, streaming(1), budgets, kGoOn);
  EXPECT_TRUE(std::isnan(layer.at[0].output_error_p95));
  EXPECT_GT(layer.at[0].lost, 0);
}

AnalysisRequest all_of_it() {
  AnalysisRequest out;
  for (size_t i = 0; i < kAnalyses.size(); ++i) out.what.insert(static_cast<Analysis>(i));
  out.settings.set("K", int64_t{6});
  return out;
}

TEST(Analyse, DoesWhatIsAskedAlikeForAnyNumberOfThreads) {
  Rig one(std::make_shared<HandMade>(HandMadeShape{}, 3U), 1),
      three(std::make_shared<HandMade>(HandMadeShape{}, 3U), 3);
  const AnalysisResult a = analyse(one.replayer, {}, all_of_it(), one.threads, {}, kGoOn);
  const AnalysisResult b = analyse(three.replayer, {}, all_of_it(), three.threads, {}, kGoOn);
  ASSERT_EQ(a.overlap.size(), 2U);
  ASSERT_EQ(a.request.lags, (std::vector<int32_t>{1, 2, 4, 8, 16}));
  EXPECT_EQ(a.gate.size(), 6U) << "S, then the lags";
  EXPECT_EQ(a.request.budgets, (std::vector<int32_t>{1, 2, 5, 6, 10}));
  for (size_t l = 0; l < 2; ++l) {
    EXPECT_EQ(std::memcmp(a.overlap[l].all.data(), b.overlap[l].all.data(), sizeof(AgedSet) * a.overlap[l].all.size()),
              0);
    EXPECT_EQ(a.coverage[l].mass, b.coverage[l].mass);
    EXPECT_EQ(a.cosine[l].all, b.cosine[l].all);
    EXPECT_EQ(a.gate[0][l].normalised, b.gate[0][l].normalised);
    EXPECT_EQ(a.lost[l].mass, b.lost[l].mass);
    EXPECT_EQ(a.sensitivity[l].at[0].lost, b.sensitivity[l].at[0].lost);
  }
  AnalysisRequest little;
  little.what = {Analysis::coverage}, little.layers = {1};
  const AnalysisResult c = analyse(one.replayer, {}, little, one.threads, {}, kGoOn);
  EXPECT_EQ(c.coverage.at(0).layer, 1);
  EXPECT_EQ(c.coverage[0].mass.size() / c.request.curve.size(), 48U);
  EXPECT_TRUE(c.overlap.empty() && c.gate.empty() && c.lost.empty());
}

TEST(Analyse, TakesOtherPoliciesAndBudgetsByLayer) {
  Rig rig(std::make_shared<HandMade>(HandMadeShape{}, 3U));
  AnalysisRequest request = all_of_it();
  request.settings = streaming(1);
  EXPECT_EQ(analyse(rig.replayer, {}, request, rig.threads, {}, kGoOn).recycled.policy(), "recycled");
  request.settings = Settings("recycled");
  request.settings.set("K", std::vector<int64_t>{4, 12});
  request.settings.set("S", std::vector<int64_t>{3, 90});
  const AnalysisResult found = analyse(rig.replayer, {}, request, rig.threads, {}, kGoOn);
  EXPECT_EQ(found.overlap[0].budgets[0], 4);
  EXPECT_EQ(found.overlap[1].budgets[0], 12);
  EXPECT_EQ(found.overlap[0].lags[0], 3);
  EXPECT_EQ(found.overlap[1].lags[0], 16) << "no step is 90 after another: the longest lag there is";
}

TEST(Analyse, RefusesWhatIsNotThereAndStopsWhenTold) {
  Rig rig(std::make_shared<HandMade>(HandMadeShape{}, 3U));
  AnalysisRequest request = all_of_it();
  request.layers = {2};
  EXPECT_THROW(analyse(rig.replayer, {}, request, rig.threads, {}, kGoOn), Error);
  Cancel stop;
  stop.raise();
  EXPECT_THROW(analyse(rig.replayer, {}, all_of_it(), rig.threads, {}, stop), Cancelled);
  Rig empty(std::make_shared<HandMade>(HandMadeShape{.n_step = 0}, 3U));
  EXPECT_THROW(analyse(empty.replayer, {}, all_of_it(), empty.threads, {}, kGoOn), Error);
}

}  // namespace
}  // namespace reattend
