// Cures of losses: each keeps the position by a replay of its own, and a smaller change of the same parameter does not.
#include <random>

#include <gtest/gtest.h>

#include "session_rig.h"
#include "tests/replay/hand_made.h"
#include "tune/judge.h"
#include "viz/session/ledger.h"
#include "viz/session/loss_sums.h"
#include "viz/session/story.h"

namespace reattend::viz::testing {
namespace {

const Cancel kGoOn;
const HandMadeShape kShape = {.n_layer = 2, .n_prompt = 70, .n_step = 20, .values = false};

Settings made(std::string_view policy, const std::vector<std::pair<std::string, Value>>& values) {
  Settings settings(policy);
  for (const auto& [key, value] : values) settings.set(key, value);
  return settings;
}

/// Whether a setting keeps the position, by a replay of all layers in which the search had no part.
bool keeps(Replayer& replayer, const Settings& settings, const RowPlace& at, int32_t position) {
  const ReplayResult of = replayer.run({.settings = settings, .output_error = false, .keep_sets = true}, {}, kGoOn);
  const auto& set =
      of.layers[static_cast<size_t>(at.layer)].sets[static_cast<size_t>(at.step - 1) * kShape.n_kv_head + at.kv_head];
  return set.holds(position);
}

/// Smaller changes of the same parameter.
std::vector<Value> lesser(const Cure& cure, const Settings& now) {
  std::vector<Value> out;
  if (cure.key == "K") {
    out.emplace_back(std::get<int64_t>(cure.value) - 1);
  } else if (cure.key == "S") {
    const int64_t before = now.count_or_never("S", 0).value_or(kShape.n_step + 1);
    for (int64_t stride = std::get<int64_t>(cure.value) + 1; stride < before; ++stride) out.emplace_back(stride);
  } else {
    const double before = now.real("threshold", 0), found = std::get<double>(cure.value);
    for (int i = 0; i < 20; ++i) out.emplace_back(before + (found - 0.00101 - before) * i / 20);
  }
  return out;
}

// The button says what it will do: it must do that, and no less would have done.
TEST(Cure, OfAThousandLossesEachKeepsItsPositionAndNoSmallerChangeDoes) {
  const int64_t k = 16;
  const Settings policies[] = {
      made("recycled", {{"K", k}, {"S", int64_t{9}}}),
      made("recycled", {{"K", k}, {"S", {}}}),
      made("recycled", {{"K", k}, {"S", int64_t{3}}, {"schedule", std::string("query")}, {"threshold", 0.5}}),
      made("recycled", {{"K", k}, {"S", int64_t{1}}, {"schedule", std::string("query")}, {"threshold", 0.2}}),
      made("streaming", {{"K", k}}),
      made("streaming_refresh", {{"K", k}, {"S", int64_t{6}}}),
      made("snapkv", {{"K", k}, {"window", int64_t{8}}}),
      made("quest", {{"K", k}, {"page", int64_t{4}}, {"dense_layers", std::vector<int64_t>{}}}),
      made("oracle", {{"K", k}}),
      made("tova", {{"K", k}}),
      made("h2o", {{"K", k}}),
  };
  std::mt19937 random(11);
  ThreadPool threads(1);
  int n_checked = 0, n_key[3] = {};
  for (int round = 0; n_checked < 1000; ++round) {
    const Settings& settings = policies[static_cast<size_t>(round) % std::size(policies)];
    Replayer replayer(std::make_shared<HandMade>(kShape, static_cast<unsigned>(round)), threads);
    for (int i = 0; i < 25; ++i) {
      const RowPlace at = {.layer = static_cast<int32_t>(random() % 2),
                           .kv_head = static_cast<int32_t>(random() % 2),
                           .step = 1 + static_cast<int32_t>(random() % kShape.n_step)};
      const LostRow row = lost_row(replayer, settings, at, {}, threads, kGoOn);
      if (row.positions.empty()) continue;
      const LostPosition& lost = row.positions[random() % std::min<size_t>(row.positions.size(), 30)];
      SCOPED_TRACE(::testing::Message() << settings.summary() << ", layer " << at.layer << ", KV head " << at.kv_head
                                        << ", step " << at.step << ", position " << lost.position);
      const int32_t budget = loss_detail(replayer, settings, row, lost, threads, kGoOn).budget;
      const std::vector<Cure> cures = CureSearch(replayer, settings, at, lost.position, kGoOn).find(budget);
      EXPECT_TRUE(std::ranges::any_of(cures, [](const Cure& each) { return each.key == "K"; }));
      for (const Cure& cure : cures) {
        EXPECT_TRUE(keeps(replayer, cure.settings, at, lost.position)) << cure.change;
        EXPECT_EQ(in_layer(cure.settings, 1 - at.layer).get(cure.key), settings.get(cure.key)) << "another layer's";
        for (const Value& value : lesser(cure, settings)) {
          EXPECT_FALSE(keeps(replayer, with_value(settings, cure.key, value, {at.layer}, 2), at, lost.position))
              << cure.change << ", and so does " << to_text(value);
        }
        ++n_key[cure.key == "K" ? 0 : cure.key == "S" ? 1 : 2];
      }
      ++n_checked;
      if (::testing::Test::HasFailure()) return;
    }
  }
  EXPECT_GT(n_key[1], 50);
  EXPECT_GT(n_key[2], 10);
}

const SyntheticShape kRun = {.n_layer = 4, .n_head = 4, .n_prompt = 256, .n_step = 40, .sha256 = kSmolLM2};

struct StoryRig : Rig {
  StoryRig() : Rig(kRun) {
    open();
    session.set_settings(with_budget(24));
    session.select_step(26);
    settle();
  }
  const Story& story() {
    const Story* found = nullptr;
    until([&] {
      found = session.data<Stories>().ask();
      return found != nullptr && found->whole && found->settings == session.settings() &&
             found->at.step == session.selection().step &&
             std::ranges::all_of(found->cures, [](const PricedCure& each) { return each.price.has_value(); });
    });
    return *found;
  }
};

// The panel and all others must say the same of one step.
TEST(Story, SaysWhatTheOtherPanesSay) {
  StoryRig rig;
  const Story& story = rig.story();
  const Selection& at = rig.session.selection();
  const LayerReplay& layer = *rig.session.layer();
  EXPECT_NEAR(story.row->mass, 1 - layer.recovered[static_cast<size_t>(at.step - 1) * kRun.n_kv_head + at.kv_head],
              1e-5);
  ASSERT_FALSE(story.row->positions.empty());
  EXPECT_EQ(story.position, story.row->positions.front().position);
  for (const LostPosition& lost : story.row->positions) {
    EXPECT_EQ(rig.session.attended(at.step, lost.position), false);
    EXPECT_EQ(rig.session.weight(at.step, lost.position), lost.weight);
  }
  ASSERT_EQ(story.lanes->size(), static_cast<size_t>(kRun.n_layer));
  const Lane& lane = (*story.lanes)[static_cast<size_t>(at.layer)];
  for (int32_t t = 1; t <= kRun.n_step; ++t) {
    const float weight = lane.weights[static_cast<size_t>(t - 1)];
    EXPECT_NEAR(std::abs(weight), *rig.session.weight(t, story.position), 1e-7);
    EXPECT_EQ(std::signbit(weight), !*rig.session.attended(t, story.position)) << "step " << t;
  }
}

// A price is what the ledger would say of the same change.
TEST(Story, PricesAreReplaysOfTheChangedSetting) {
  StoryRig rig;
  const Story story = rig.story();
  ASSERT_FALSE(story.cures.empty());
  const auto judged = [&](const Settings& settings) {
    ThreadPool threads(1);
    Replayer replayer(make_synthetic_source(kRun), threads);
    const TuneResult& tuned = *rig.session.tuning();
    return judge(tuned, 0, replayer.run(request_to_judge(tuned.prediction, settings, {}), {}, kGoOn).layers);
  };
  const Metrics now = judged(rig.session.settings());
  for (const PricedCure& each : story.cures) {
    const Metrics then = judged(each.cure.settings);
    EXPECT_NEAR(each.price->kl, then.predicted_kl - now.predicted_kl, 1e-9) << each.cure.change;
    EXPECT_NEAR(each.price->cost, then.cost - now.cost, 1e-9) << each.cure.change;
  }
  rig.session.set_settings(story.cures.front().cure.settings);
  rig.session.select_position(story.position);
  rig.settle();
  EXPECT_EQ(rig.session.attended(26, story.position), true);
  EXPECT_EQ(rig.story().lost(), nullptr);
}

TEST(Story, AnAttendedPositionHasALifeButNoReason) {
  StoryRig rig;
  rig.session.select_position(kRun.n_prompt - 1 + 26);  // the step's own
  const Story& story = rig.story();
  EXPECT_EQ(story.lost(), nullptr);
  EXPECT_TRUE(story.cures.empty());
  EXPECT_TRUE(std::isnan((*story.lanes)[0].weights[24])) << "there was no such token at step 25";
  EXPECT_FALSE(std::isnan((*story.lanes)[0].weights[25]));
}

// Sums over steps are what colours the text: all of them together are the mass that the replay lost.
TEST(LossSums, AddUpToTheLostMassOfTheSteps) {
  StoryRig rig;
  const Selection& at = rig.session.selection();
  for (const Steps steps : {Steps{1, kRun.n_step}, Steps{12, 19}}) {
    std::shared_ptr<const PositionLosses> found;
    rig.until([&] {
      found = rig.session.data<LossSums>().ask(steps);
      return found && found->steps == steps;
    });
    double all = 0, mass = 0;
    for (const float sum : found->sums) all += sum;
    for (int32_t t = steps.first; t <= steps.last; ++t) {
      mass += 1 - rig.session.layer()->recovered[static_cast<size_t>(t - 1) * kRun.n_kv_head + at.kv_head];
    }
    EXPECT_NEAR(all, mass, 1e-4);
    const int32_t heaviest = static_cast<int32_t>(std::ranges::max_element(found->sums) - found->sums.begin());
    double own = 0;
    for (int32_t t = steps.first; t <= steps.last; ++t) {
      if (!rig.session.attended(t, heaviest).value_or(true)) own += *rig.session.weight(t, heaviest);
    }
    EXPECT_NEAR(found->largest, own, 1e-5);
  }
}

}  // namespace
}  // namespace reattend::viz::testing
