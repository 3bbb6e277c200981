// Reasons of losses against what the replay attended to and how it ranked: found at random, and planted.
#include <gtest/gtest.h>

#include <random>

#include "replay/analysis/why_lost.h"
#include "replay/choice.h"
#include "tests/replay/analysis/chosen_rows.h"

namespace reattend {
namespace {

const Cancel kGoOn;

Settings made(std::string_view policy, const std::vector<std::pair<std::string, Value>>& values) {
  Settings settings(policy);
  for (const auto& [key, value] : values) settings.set(key, value);
  return settings;
}

const HandMadeShape kShape = {.n_prompt = 90, .n_step = 30};

/// One policy over one run, and what it attended to.
struct Case {
  explicit Case(const Settings& policy, unsigned seed)
      : settings(policy), run(std::make_shared<HandMade>(kShape, seed)), replayer(run, threads) {
    replay = replayer.run({.settings = settings, .output_error = false, .keep_sets = true}, {}, kGoOn);
  }
  const PositionRuns& set(const RowPlace& at, int32_t step) const {
    return sets_of(replay, at)[static_cast<size_t>(step - 1) * kShape.n_kv_head + at.kv_head];
  }
  static const std::vector<PositionRuns>& sets_of(const ReplayResult& of, const RowPlace& at) {
    return of.layers[static_cast<size_t>(at.layer)].sets;
  }
  bool attends(const RowPlace& at, int32_t step, int32_t position) const { return set(at, step).holds(position); }
  bool attends_with_budget(const RowPlace& at, int64_t budget, int32_t position) {
    Settings other = settings;
    other.set("K", budget);
    const ReplayResult of = replayer.run({.settings = other, .output_error = false, .keep_sets = true}, {}, kGoOn);
    return sets_of(of, at)[static_cast<size_t>(at.step - 1) * kShape.n_kv_head + at.kv_head].holds(position);
  }
  /// By the ranking that the replay prepared; past its end where it is not that deep.
  int32_t rank_of(const RowPlace& at, int32_t step, int32_t position) {
    Settings deep = settings;
    deep.set("K", int64_t{kShape.n_prompt + kShape.n_step});
    replayer.run({.settings = deep, .output_error = false}, {}, kGoOn);
    const std::vector<int32_t> ranks = replayer.layer(at.layer, kGoOn).ranks(at.kv_head, step);
    return static_cast<int32_t>(std::ranges::find(ranks, position) - ranks.begin());
  }

  Settings settings;
  ThreadPool threads{1};
  std::shared_ptr<HandMade> run;
  Replayer replayer;
  ReplayResult replay;
};

/// Of recycled attention: each number of the story is one of the replay's.
void check_recycled(Case& of, const LostRow& row, const LostPosition& lost) {
  const RowPlace& at = row.at;
  EXPECT_EQ(of.rank_of(at, row.choice_step, lost.position), lost.rank);
  EXPECT_EQ(of.rank_of(at, at.step, lost.position), lost.rank_now);
  EXPECT_EQ(lost.cause, lost.rank < row.what.keep ? LossCause::aged : LossCause::ranked);
  EXPECT_EQ(row.attended, std::max(0, row.what.keep - row.age() + 1));
  const LossDetail detail = loss_detail(of.replayer, of.settings, row, lost, of.threads, kGoOn);
  EXPECT_TRUE(of.attends_with_budget(at, detail.budget, lost.position));
  EXPECT_FALSE(of.attends_with_budget(at, detail.budget - 1, lost.position));
  int32_t wanted_from = -1, refresh_at = -1;
  for (int32_t t = row.choice_step + 1; t <= at.step; ++t) {
    const int32_t rank = of.rank_of(at, t, lost.position);
    if (rank < row.what.keep && wanted_from < 0) wanted_from = t;
    if (t < at.step && rank < row.what.keep - (at.step - t) + 1) refresh_at = t;
  }
  EXPECT_EQ(detail.wanted_from, wanted_from);
  EXPECT_EQ(detail.refresh_at, refresh_at);
}

/// Of what left for good: it was there, and is not from then on.
void check_evicted(Case& of, const LostRow& row, const LostPosition& lost) {
  if (lost.last > 0) {
    EXPECT_TRUE(of.attends(row.at, lost.last, lost.position));
  }
  for (int32_t t = lost.last + 1; t <= row.at.step; ++t) EXPECT_FALSE(of.attends(row.at, t, lost.position)) << t;
  const LossDetail detail = loss_detail(of.replayer, of.settings, row, lost, of.threads, kGoOn);
  ASSERT_GE(detail.left_rank, 0);
  EXPECT_GE(detail.left_rank, row.what.keep) << "it ranked too low to stay";
  EXPECT_GE(detail.left_at, lost.last);
  EXPECT_LE(detail.left_at, lost.last + 1);
}

/// Of a choice: kept is what ranks before `keep` by the scores that are told, and nothing else.
void check_choice(Case& of, const LostRow& row, const LostPosition& lost) {
  const Choice choice = of.replayer.choice(of.settings, row.at.layer, row.at.kv_head, row.at.step, kGoOn);
  const int32_t p = kShape.n_prompt - 1 + row.at.step;  // which every policy attends to
  for (int32_t j = row.attend.lead; j < std::min(row.tail, p); ++j) {
    const int32_t rank = choice.rank_of(j);
    ASSERT_GE(rank, 0);
    const bool weak = choice.what.min_weight > 0 && rank >= choice.what.least &&
                      choice.scores[static_cast<size_t>(choice.index_of(j))] < choice.what.min_weight;
    EXPECT_EQ(of.attends(row.at, row.at.step, j), rank < choice.what.keep && !weak) << j << " ranks " << rank;
  }
  EXPECT_EQ(lost.cause, lost.rank < row.what.keep ? LossCause::weak : LossCause::ranked);
}

void check(Case& of, const RowPlace& at, std::mt19937& random, int& n_checked) {
  const LostRow row = lost_row(of.replayer, of.settings, at, {}, of.threads, kGoOn);
  const LayerReplay& replay = of.replay.layers[static_cast<size_t>(at.layer)];
  const size_t entry = static_cast<size_t>(at.step - 1) * kShape.n_kv_head + at.kv_head;
  EXPECT_NEAR(row.mass, 1 - replay.recovered[entry], 1e-5);
  EXPECT_EQ(row.n_position, kShape.n_prompt + at.step - replay.positions[entry]);
  EXPECT_EQ(row.positions.size(), static_cast<size_t>(row.n_position));
  double half = 0;
  for (int32_t i = 0; i < row.n_half; ++i) half += row.positions[static_cast<size_t>(i)].weight;
  EXPECT_GE(half, row.mass / 2 - 1e-6);
  if (row.positions.empty()) return;
  const LostPosition& lost = row.positions[random() % row.positions.size()];
  EXPECT_FALSE(of.attends(at, at.step, lost.position));
  EXPECT_EQ(lost.weight, of.replayer.row(at.layer, at.kv_head, at.step)[static_cast<size_t>(lost.position)]);
  ++n_checked;
  if (row.attend.ages) return check_recycled(of, row, lost);
  if (row.what.from_kept) {
    EXPECT_EQ(lost.cause, LossCause::evicted);
    return check_evicted(of, row, lost);
  }
  if (row.what.chooses()) return check_choice(of, row, lost);
  EXPECT_EQ(lost.cause, LossCause::outside);
  EXPECT_TRUE(lost.position >= row.attend.lead && lost.position < row.tail);
}

// What the window says of a loss is what a user will act on: no policy may be told another's reason.
TEST(WhyLost, OfAThousandLossesTheReasonIsTheReplays) {
  const int64_t k = 24;
  const Settings policies[] = {
      made("recycled", {{"K", k}, {"S", int64_t{7}}}),
      made("recycled", {{"K", k},
                        {"S", int64_t{3}},
                        {"schedule", std::string("query")},
                        {"threshold", 0.6},
                        {"granularity", std::string("kv_head")}}),
      made("recycled", {{"K", int64_t{9}}, {"S", {}}, {"pool", int64_t{1}}, {"reduce", std::string("mean")}}),
      made("oracle", {{"K", k}}),
      made("h2o", {{"K", k}}),
      made("tova", {{"K", k}}),
      made("snapkv", {{"K", k}, {"window", int64_t{8}}}),
      made("pyramidkv", {{"K", k}, {"window", int64_t{8}}, {"beta", int64_t{4}}}),
      made("streaming", {{"K", k}}),
      made("streaming_refresh", {{"K", k}, {"S", int64_t{5}}}),
      made("quest", {{"K", k}, {"page", int64_t{4}}, {"dense_layers", std::vector<int64_t>{}}}),
      made("sketch", {{"K", k}, {"recent", int64_t{4}}, {"block", int64_t{16}}}),
      made("sketch", {{"K", int64_t{48}}, {"recent", int64_t{4}}, {"min_weight", 0.004}, {"min_k", int64_t{12}}}),
      made("tokenselect", {{"K", int64_t{32}}, {"threshold", 0.5}}),
  };
  std::mt19937 random(7);
  int n_checked = 0;
  for (const Settings& settings : policies) {
    for (unsigned seed = 1; seed <= 3; ++seed) {
      Case of(settings, seed);
      for (int i = 0; i < 26; ++i) {
        const RowPlace at = {.layer = static_cast<int32_t>(random() % 2),
                             .kv_head = static_cast<int32_t>(random() % 2),
                             .step = 1 + static_cast<int32_t>(random() % kShape.n_step)};
        SCOPED_TRACE(testing::Message() << settings.summary() << " seed " << seed << ", layer " << at.layer
                                        << ", KV head " << at.kv_head << ", step " << at.step);
        check(of, at, random, n_checked);
        if (HasFailure()) return;
      }
    }
  }
  EXPECT_GE(n_checked, 1000);
}

/// A needle at position 20 that nobody wants until step 24, when it gets half of the row; a word that stands at 10 and
/// 40; a sink; the rest evenly.
double planted(int32_t, int32_t, int32_t t, int32_t j) {
  if (j == 20) return t >= 24 ? 10 : 1e-3;
  if (j == 40) return t >= 24 ? 1 : 1e-3;
  return j == 0 ? 2 : 0.01 + 1e-4 * j;
}

// The story that the view was made for: what, what kind, since when, and what would have helped.
TEST(WhyLost, FindsAPlantedNeedle) {
  ThreadPool threads(1);
  const HandMadeShape shape = {
      .n_layer = 1, .n_head = 1, .n_kv_head = 1, .d_head = 160, .n_prompt = 120, .n_step = 30, .values = false};
  Replayer replayer(chosen_rows(shape, planted), threads);
  const Settings settings = made("recycled", {{"K", int64_t{16}}, {"S", int64_t{20}}, {"pool", int64_t{1}}});
  std::vector<std::string> texts;
  for (int32_t i = 0; i <= 150; ++i) texts.push_back(i == 10 || i == 40 ? "same" : std::to_string(i));
  const LostRow row = lost_row(replayer, settings, {.step = 26}, texts, threads, kGoOn);
  ASSERT_GE(row.positions.size(), 2U);
  EXPECT_EQ(row.choice_step, 20);
  EXPECT_EQ(row.n_half, 1);
  const LostPosition& needle = row.positions[0];
  EXPECT_EQ(needle.position, 20);
  EXPECT_EQ(needle.kind, LostKind::other) << "it was read six steps ago";
  EXPECT_EQ(needle.last, 20) << "a full step attends to everything";
  EXPECT_EQ(needle.cause, LossCause::ranked);
  EXPECT_EQ(needle.rank_now, 0);
  const LossDetail detail = loss_detail(replayer, settings, row, needle, threads, kGoOn);
  EXPECT_EQ(detail.wanted_from, 24);
  EXPECT_EQ(detail.refresh_at, 25);
  EXPECT_EQ(detail.budget, needle.rank + 6);
  const LostPosition& word = row.positions[1];
  EXPECT_EQ(word.position, 40);
  EXPECT_EQ(word.earlier, 10);
  EXPECT_EQ(word.kind, LostKind::repeat);

  // Away since the prompt's end: a needle, whatever it says.
  const Settings never = made("recycled", {{"K", int64_t{32}}, {"S", {}}, {"pool", int64_t{1}}});
  const LostRow late = lost_row(replayer, never, {.step = 26}, texts, threads, kGoOn);
  EXPECT_EQ(late.choice_step, 0);
  EXPECT_EQ(late.positions[0].position, 20);
  EXPECT_EQ(late.positions[0].kind, LostKind::needle);
  EXPECT_EQ(late.positions[1].kind, LostKind::needle);
  EXPECT_EQ(late.positions[0].last, 0);
}

TEST(WhyLost, OfFullAttentionNothingIs) {
  ThreadPool threads(1);
  Replayer replayer(std::make_shared<HandMade>(kShape, 1U), threads);
  const LostRow row = lost_row(replayer, Settings("full"), {.step = 5}, {}, threads, kGoOn);
  EXPECT_EQ(row.n_position, 0);
  EXPECT_EQ(row.mass, 0);
}

}  // namespace
}  // namespace reattend
