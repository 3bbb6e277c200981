// Plans against the rules of docs/semantics.md: the sets they mean, and their bounds, over random sizes and settings.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <set>

#include "base/error.h"
#include "kernels/choose.h"
#include "policies/policy.h"

namespace reattend {
namespace {

/// What an executor holds for one KV head.
struct Kept {
  std::vector<int32_t> rank;
  int32_t selected_at = -1;
};

/// Random scores: plans may not depend on what is chosen.
struct RandomOps {
  using Real = double;
  static int32_t top_k(const double* score, int32_t n, int32_t k, int32_t* out) {
    std::vector<int32_t> order(static_cast<size_t>(n));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return score[a] > score[b]; });
    std::copy_n(order.begin(), std::min(n, k), out);
    return std::min(n, k);
  }
  static int32_t top_set(const double* score, int32_t n, int32_t k, double least, int32_t n_least, int32_t* out) {
    const int32_t taken = top_k(score, n, k, out);
    const auto light =
        std::find_if(out + std::min(n_least, taken), out + taken, [&](int32_t i) { return score[i] < least; });
    std::sort(out, light);
    return static_cast<int32_t>(light - out);
  }
};

void choose(const Select& what, int32_t p, std::mt19937& random, Kept& kept) {
  if (!what.chooses()) return;
  const Candidates candidates = candidates_of(what, kept.rank);
  std::vector<double> score(static_cast<size_t>(candidates.n));
  for (double& x : score) x = std::uniform_real_distribution<double>()(random);
  take_best<RandomOps>(what, score.data(), candidates, p, kept.rank);
  kept.selected_at = p;
}

std::vector<int32_t> members(const PositionSet& set) {
  std::vector<int32_t> out;
  for (int32_t i = 0; i < set.size(); ++i) out.push_back(set[i]);
  std::sort(out.begin(), out.end());
  return out;
}

/// Runs a policy on one layer; check(t, p, set, branch, kept before) per step.
template <class Check>
void walk(const Settings& settings, int32_t n_prompt, int32_t n_step, unsigned seed, const Check& check) {
  std::mt19937 random(seed);
  const auto policy =
      make_policy(settings, {.n_layer = 1, .n_head = 1, .n_kv_head = 1, .d_head = 8, .n_prompt = n_prompt});
  Kept kept;
  choose(policy->prompt(0), n_prompt - 1, random, kept);
  for (int32_t t = 1; t <= n_step; ++t) {
    const int32_t p = n_prompt - 1 + t;
    const Plan plan = policy->plan(0, t);
    const float cosine = std::uniform_real_distribution<float>(-1, 1)(random);
    const Branch& branch = plan.gated && !stays(plan, cosine) ? plan.else_branch : plan.branch;
    choose(branch.before, p, random, kept);
    const PositionSet set =
        resolve(branch.attend, kept.rank.data(), static_cast<int32_t>(kept.rank.size()), kept.selected_at, p);
    check(t, p, set, branch, kept);
    choose(branch.after, p, random, kept);
  }
}

Settings random_settings(std::mt19937& random) {
  const auto number = [&](int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random);
  };
  const auto names = policy_registry();
  Settings settings(std::string(names[random() % names.size()].name));
  const auto maybe = [&](const char* key, const Value& value) {
    if (settings.takes(key)) settings.set(key, value);
  };
  const auto one_of = [&](const char* key) {
    const Parameter& parameter = *find_parameter(key);
    maybe(key, std::string(parameter.choices[random() % parameter.choices.size()]));
  };
  maybe("K", number(1, 60));
  maybe("S", number(0, 3) == 0 ? Value{} : Value(number(1, 40)));
  maybe("threshold", static_cast<double>(number(-9, 9)) / 10);
  maybe("sinks", number(0, 70));
  maybe("page", number(1, 20));
  maybe("beta", number(1, 30));
  maybe("block", number(1, 300));
  maybe("recent", number(0, 70));
  maybe("min_weight", static_cast<double>(number(0, 9)) / 100);
  maybe("reuse", static_cast<double>(number(-5, 20)) / 10);
  if (number(0, 1) == 0) maybe("dense_layers", std::vector<int64_t>{});
  for (const char* key : {"rotate", "schedule", "refresh", "granularity", "selection_cache"}) one_of(key);
  if (settings.takes("window")) {
    settings.set("window", number(1, settings.count("K", 0, 0)));
  }
  return settings;
}

/// Most positions that a plan with a budget of k may hold at step t, p included: k cached ones, rounded up to whole
/// pages, and the tokens since the last choice where the run begins there (an ageing set gives up an entry for each),
/// or since the prompt where its last queries chose once and for all.
int32_t bound(const Policy& policy, const Branch& branch, int32_t k, int32_t t, int32_t p, int32_t selected_at) {
  if (branch.attend.everything) return p + 1;
  if (branch.attend.from_selected)
    return branch.attend.ages ? std::max(k + 1, p - selected_at) : k + 1 + p - selected_at;
  if (policy.prompt(0).by == Rank::window) return k + t;
  const int32_t page = branch.before.page;
  return (k + page - 1) / page * page + 1;
}

TEST(Policies, EverySetHoldsTheCurrentTokenHasNoPositionTwiceAndStaysWithinItsBound) {
  std::mt19937 random(1);
  for (unsigned round = 0; round < 2000; ++round) {
    const Settings settings = random_settings(random);
    const auto n_prompt = static_cast<int32_t>(1 + random() % 80);
    std::vector<int32_t> before;  // positions of the step before
    const int32_t k = settings.is_full() ? 0 : static_cast<int32_t>(settings.count("K", 0, n_prompt));
    const auto policy =
        make_policy(settings, {.n_layer = 1, .n_head = 1, .n_kv_head = 1, .d_head = 8, .n_prompt = n_prompt});
    walk(settings, n_prompt, 60, round,
         [&](int32_t t, int32_t p, const PositionSet& set, const Branch& branch, const Kept& kept) {
           SCOPED_TRACE(settings.summary() + " L " + std::to_string(n_prompt) + " t " + std::to_string(t));
           const std::vector<int32_t> in = members(set);
           ASSERT_FALSE(in.empty());
           ASSERT_EQ(in.back(), p);
           ASSERT_GE(in.front(), 0);
           ASSERT_EQ(std::adjacent_find(in.begin(), in.end()), in.end());
           if (p + 1 <= k) {
             ASSERT_EQ(set.size(), p + 1);
           }
           ASSERT_LE(set.size(), bound(*policy, branch, k, t, p, kept.selected_at));
           if (set.size() == p + 1) {
             ASSERT_EQ(set.lead, p + 1)
                 << "a complete set must be the run 0..p, or it is not bit-equal to full attention";
             ASSERT_FALSE(branch.attend.rank_rotation);
           }
           const bool forgets =
               settings.policy() == "h2o" || settings.policy() == "tova" || settings.policy() == "streaming";
           if (forgets && t > 1) {
             before.push_back(p);
             ASSERT_TRUE(std::includes(before.begin(), before.end(), in.begin(), in.end()))
                 << "a position that left came back";
           }
           before = in;
         });
  }
}

TEST(Policies, FullAttendsToEverythingAndIsFullAtEveryStep) {
  walk(Settings("full"), 5, 9, 1, [](int32_t, int32_t p, const PositionSet& set, const Branch& branch, const Kept&) {
    EXPECT_EQ(set.size(), p + 1);
    EXPECT_TRUE(branch.full);
    EXPECT_TRUE(branch.leaves_kept());
  });
}

TEST(Policies, RecycledDropsItsLowestScoresFirstAndNoTokenSinceTheLastFullStep) {
  Settings settings("recycled");
  settings.set("K", int64_t{6});
  settings.set("S", int64_t{10});
  std::vector<int32_t> sizes;
  walk(settings, 20, 20, 3, [&](int32_t t, int32_t p, const PositionSet& set, const Branch& branch, const Kept& kept) {
    EXPECT_EQ(branch.full, t % 10 == 0) << t;
    if (branch.full) {
      EXPECT_EQ(set.size(), p + 1);
      return;
    }
    const int32_t j = p - kept.selected_at, n_old = std::max(0, 6 - j + 1);
    std::set<int32_t> expected(kept.rank.begin(), kept.rank.begin() + n_old);
    for (int32_t i = kept.selected_at + 1; i <= p; ++i) expected.insert(i);
    const std::vector<int32_t> in = members(set);
    EXPECT_EQ(std::vector<int32_t>(expected.begin(), expected.end()), in) << t;
    EXPECT_EQ(in.size(), static_cast<size_t>(std::max(7, j))) << t;  // constant, until S > K makes it grow
  });
}

TEST(Policies, NeverRefreshesNothingAfterThePrompt) {
  Settings settings("recycled");
  settings.set("S", std::monostate{});
  walk(settings, 200, 300, 4, [](int32_t, int32_t, const PositionSet&, const Branch& branch, const Kept& kept) {
    EXPECT_FALSE(branch.full);
    EXPECT_EQ(kept.selected_at, 199);
  });
}

TEST(Policies, ScoreOnlyAnswersFromTheOldSetAndRebuildsItForTheNextStep) {
  Settings settings("recycled");
  settings.set("K", int64_t{8});
  settings.set("S", int64_t{4});
  settings.set("refresh", std::string("score_only"));
  walk(settings, 50, 12, 5, [](int32_t t, int32_t p, const PositionSet& set, const Branch& branch, const Kept& kept) {
    EXPECT_EQ(branch.full, t % 4 == 0);
    EXPECT_EQ(branch.after.chooses(), branch.full);
    EXPECT_EQ(set.size(), 9);
    EXPECT_EQ(kept.selected_at, p - (t - 1) % 4 - 1);
  });
}

TEST(Policies, DueStepsOfTheQueryScheduleAreGatedAndNoOthers) {
  Settings settings("recycled");
  settings.set("S", int64_t{5});
  settings.set("schedule", std::string("query"));
  settings.set("threshold", 0.5);
  settings.set("granularity", std::string("kv_head"));
  settings.set("similarity_query", std::string("post_rope"));
  settings.set("similarity_reduce", std::string("min_cosine"));
  const auto policy = make_policy(settings, {.n_layer = 1, .n_head = 4, .n_kv_head = 2, .n_prompt = 100});
  for (int32_t t = 1; t <= 20; ++t) {
    const Plan plan = policy->plan(0, t);
    EXPECT_EQ(plan.gated, t % 5 == 0);
    EXPECT_FALSE(plan.branch.full);
    EXPECT_EQ(plan.else_branch.full, plan.gated);
    EXPECT_TRUE(plan.compare.present && plan.compare.per_kv_head);
    EXPECT_EQ(plan.compare.stage, QueryStage::post_rope);
    EXPECT_EQ(plan.compare.how, Similarity::min_cosine);
    if (plan.gated) {
      EXPECT_EQ(plan.threshold, 0.5);
    }
  }
  // At the threshold itself, and where the cosine is no number, the step is full.
  const Plan at_half = {.gated = true, .threshold = 0.5};
  EXPECT_FALSE(stays(at_half, 0.5));
  EXPECT_FALSE(stays(at_half, std::numeric_limits<double>::quiet_NaN()));
}

TEST(Policies, LayersFollowTheirOwnValuesAndDenseOnesAreAlwaysFull) {
  Settings settings("recycled");
  settings.set("S", std::vector<int64_t>{2, 3, 5});
  settings.set("K", std::vector<int64_t>{4, 5, 6});
  settings.set("dense_layers", std::vector<int64_t>{2});
  settings.set("refresh", std::string("score_only"));
  const auto policy = make_policy(settings, {.n_layer = 3, .n_head = 1, .n_kv_head = 1, .n_prompt = 100});
  for (int32_t t = 1; t <= 12; ++t) {
    EXPECT_EQ(policy->plan(0, t).branch.full, t % 2 == 0);
    EXPECT_EQ(policy->plan(1, t).branch.full, t % 3 == 0);
    const Branch dense = policy->plan(2, t).branch;
    EXPECT_TRUE(dense.full && dense.attend.everything && dense.after.chooses());  // score_only or not
    EXPECT_EQ(dense.after.keep, 6);
  }
  EXPECT_EQ(policy->prompt(1).keep, 5);
  EXPECT_EQ(policy->prompt(1).pool, 7);
  EXPECT_EQ(policy->prompt(1).reduce, Reduce::max);
}

TEST(Policies, StreamingKeepsSinksAndTheLatest) {
  Settings settings("streaming");
  settings.set("K", int64_t{10});
  settings.set("rotate", std::string("cache"));
  walk(settings, 30, 5, 6, [](int32_t, int32_t p, const PositionSet& set, const Branch& branch, const Kept&) {
    EXPECT_EQ(members(set), (std::vector<int32_t>{0, 1, 2, 3, p - 6, p - 5, p - 4, p - 3, p - 2, p - 1, p}));
    EXPECT_TRUE(branch.attend.rank_rotation);
    EXPECT_FALSE(branch.full);
  });
  settings.set("K", int64_t{2});  // fewer than there are sinks
  walk(settings, 30, 5, 6, [](int32_t, int32_t p, const PositionSet& set, const Branch&, const Kept&) {
    EXPECT_EQ(members(set), (std::vector<int32_t>{0, 1, p}));
  });
}

/// Kept set and members of every step of a one-layer run.
std::vector<std::vector<int32_t>> sets_of(const Settings& settings, int32_t n_prompt, int32_t n_step) {
  std::vector<std::vector<int32_t>> sets;
  walk(settings, n_prompt, n_step, 7,
       [&](int32_t, int32_t, const PositionSet& set, const Branch&, const Kept&) { sets.push_back(members(set)); });
  return sets;
}

TEST(Policies, StreamingRefreshIsStreamingWithFullStepsThatChangeNothing) {
  Settings refreshed("streaming_refresh"), plain("streaming");
  refreshed.set("S", int64_t{4});
  for (Settings* each : {&refreshed, &plain}) each->set("K", int64_t{10});
  const auto a = sets_of(refreshed, 30, 12), b = sets_of(plain, 30, 12);
  for (int32_t t = 1; t <= 12; ++t) {
    const size_t i = static_cast<size_t>(t) - 1;
    if (t % 4 == 0) {
      EXPECT_EQ(a[i].size(), static_cast<size_t>(30 + t));
    } else {
      EXPECT_EQ(a[i], b[i]) << t;
    }
  }
}

TEST(Policies, H2OKeepsTheLatestHalfAndDropsOneOfTheOthersAtATime) {
  Settings settings("h2o");
  settings.set("K", int64_t{9});  // 4 latest, 5 heavy hitters
  const auto sets = sets_of(settings, 30, 10);
  for (size_t i = 0; i < sets.size(); ++i) {
    const int32_t p = 30 + static_cast<int32_t>(i);
    EXPECT_EQ(sets[i].size(), 10U);
    EXPECT_EQ(std::vector<int32_t>(sets[i].end() - 5, sets[i].end()),
              (std::vector<int32_t>{p - 4, p - 3, p - 2, p - 1, p}));
  }
}

TEST(Policies, SnapKVKeepsItsWindowAndAllLaterTokensAndPyramidKVFallsToTheLastLayer) {
  Settings settings("snapkv");
  settings.set("K", int64_t{12});
  settings.set("window", int64_t{4});
  const auto sets = sets_of(settings, 30, 5);
  EXPECT_EQ(sets[4].size(), 12U + 5U);
  EXPECT_EQ(std::vector<int32_t>(sets[4].end() - 9, sets[4].end()),
            (std::vector<int32_t>{26, 27, 28, 29, 30, 31, 32, 33, 34}));
  settings.set("window", int64_t{13});
  EXPECT_THROW(make_policy(settings, {.n_layer = 1, .n_head = 1, .n_kv_head = 1, .n_prompt = 30}), Error);

  // C = 20 - 8 = 12, least = 12 / 3 = 4, most = 20; layers 20, 12, 4 before the window.
  Settings pyramid("pyramidkv");
  pyramid.set("K", int64_t{20});
  pyramid.set("beta", int64_t{3});
  const auto policy = make_policy(pyramid, {.n_layer = 3, .n_head = 1, .n_kv_head = 1, .n_prompt = 100});
  for (int32_t l = 0; l < 3; ++l) EXPECT_EQ(policy->prompt(l).keep, 20 - 8 * l) << l;
  EXPECT_EQ(policy->prompt(0).window, 8) << "PyramidKV's own default";
}

TEST(Policies, TokenSelectSplitsABudgetAsTheFieldDoesAndRefusesPartsThatDoNotAddUp) {
  const RunShape shape = {.n_layer = 1, .n_head = 1, .n_kv_head = 1, .n_prompt = 4000};
  Settings settings("tokenselect");
  const auto check = [&](int32_t n_init, int32_t n_local, int32_t k) {
    const Branch first = make_policy(settings, shape)->plan(0, 1).branch;
    EXPECT_EQ(first.attend.lead, n_init);
    EXPECT_EQ(first.attend.tail, -n_local);
    EXPECT_EQ(first.before.keep, k);
  };
  check(128, 512, 2048);
  settings.set("K", int64_t{1} << 30);  // the largest there is
  check(4000, 7 << 26, 1 << 29);
  settings.set("K", int64_t{100});
  check(6, 43, 51);
  settings.set("n_init", int64_t{10});
  check(10, 43, 47);
  settings.set("k", int64_t{50});
  EXPECT_THROW(make_policy(settings, shape), Error);
  settings.set("k", int64_t{47});
  check(10, 43, 47);
}

TEST(Policies, TokenSelectAlwaysSelectsFirstAndKeepsWhatLeftItsWindow) {
  Settings settings("tokenselect");
  settings.set("K", int64_t{32});   // 2 first, 14 last, 16 between
  settings.set("threshold", -1.0);  // every cosine is as high: never again after the first
  const auto sets = sets_of(settings, 100, 20);
  for (size_t i = 0; i < sets.size(); ++i) {
    EXPECT_EQ(sets[i].size(), 33 + i);
    EXPECT_EQ(sets[i][18], 86) << "the window begins where it was at the selection";
  }
  EXPECT_TRUE(stays({.threshold = 0.9, .or_equal = true}, 0.9));
}

TEST(Policies, UnknownNamesAndMisfitSettingsAreUsageErrorsThatListWhatIsKnown) {
  const RunShape shape = {.n_layer = 2, .n_head = 1, .n_kv_head = 1, .n_prompt = 10};
  try {
    make_policy(Settings("h3o"), shape);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_NE(std::string(error.what()).find("full, recycled, oracle, streaming"), std::string::npos) << error.what();
  }
  Settings settings("recycled");
  settings.set("K", std::vector<int64_t>{4, 5, 6});
  EXPECT_THROW(make_policy(settings, shape), Error);
}

TEST(Policies, EveryPolicysDefaultsAreAFileThatIsReadBack) {  // or a settings file is refused for a policy that exists
  for (const PolicyInfo& info : policy_registry()) {
    const Settings settings(info.name);
    EXPECT_EQ(Settings::from_toml(settings.to_toml(), "x"), settings) << info.name;
    EXPECT_EQ(find_policy(info.name), &info);
  }
}

}  // namespace
}  // namespace reattend
