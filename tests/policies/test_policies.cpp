// Plans against SEMANTICS' own sentences: the sets they mean, and their bounds, over random sizes and settings.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <set>

#include "base/error.h"
#include "policies/policy.h"

namespace reattend {
namespace {

/// What an executor holds for one KV head.
struct Kept {
  std::vector<int32_t> rank;
  int32_t stamp = 0;
};

/// A random choice of the n positions that exist stands for top-K: plans may not depend on which it is.
void select(const After& after, int32_t p, std::mt19937& random, Kept& kept) {
  if (!after.select) return;
  std::vector<int32_t> all(static_cast<size_t>(p) + 1);
  std::iota(all.begin(), all.end(), 0);
  std::shuffle(all.begin(), all.end(), random);
  all.resize(std::min<size_t>(all.size(), static_cast<size_t>(after.keep)));
  kept = {.rank = all, .stamp = p};
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
  const auto policy = make_policy(settings, {.n_layer = 1, .n_head = 1, .n_kv_head = 1, .n_prompt = n_prompt});
  Kept kept;
  select(policy->prompt(0), n_prompt - 1, random, kept);
  for (int32_t t = 1; t <= n_step; ++t) {
    const int32_t p = n_prompt - 1 + t;
    const Plan plan = policy->plan(0, t);
    const float cosine = std::uniform_real_distribution<float>(-1, 1)(random);
    const Branch& branch = plan.gated && !stays(cosine, plan.threshold) ? plan.otherwise : plan.branch;
    const PositionSet set =
        resolve(branch.attend, kept.rank.data(), static_cast<int32_t>(kept.rank.size()), kept.stamp, p);
    check(t, p, set, branch, kept);
    select(branch.after, p, random, kept);
  }
}

Settings random_settings(std::mt19937& random) {
  const auto one_of = [&](auto... x) {
    const std::string all[] = {x...};
    return all[random() % sizeof...(x)];
  };
  Settings settings(one_of("full", "recycled", "recycled", "streaming"));
  const auto number = [&](int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random);
  };
  if (settings.policy() != "full") settings.set("K", number(1, 60));
  if (settings.policy() == "streaming") {
    settings.set("sinks", number(0, 70));
    settings.set("rotate", one_of("absolute", "cache"));
  }
  if (settings.policy() == "recycled") {
    if (number(0, 3) == 0) {
      settings.set("S", std::monostate{});
    } else {
      settings.set("S", number(1, 40));
    }
    settings.set("schedule", one_of("fixed", "query"));
    settings.set("threshold", static_cast<double>(number(-9, 9)) / 10);
    settings.set("refresh", one_of("attend", "score_only"));
    settings.set("granularity", one_of("layer", "kv_head"));
  }
  return settings;
}

TEST(Policies, EverySetHoldsTheCurrentTokenHasNoPositionTwiceAndStaysWithinItsBound) {
  std::mt19937 random(1);
  for (unsigned round = 0; round < 400; ++round) {
    const Settings settings = random_settings(random);
    const auto n_prompt = static_cast<int32_t>(1 + random() % 80);
    walk(settings, n_prompt, 60, round,
         [&](int32_t t, int32_t p, const PositionSet& set, const Branch& branch, const Kept& kept) {
           const std::vector<int32_t> in = members(set);
           ASSERT_FALSE(in.empty());
           ASSERT_EQ(in.back(), p) << settings.summary() << " t " << t;
           ASSERT_GE(in.front(), 0);
           ASSERT_EQ(std::adjacent_find(in.begin(), in.end()), in.end()) << settings.summary() << " t " << t;
           const int32_t k = settings.policy() == "full" ? p : static_cast<int32_t>(settings.count("K", 0, n_prompt));
           if (p + 1 <= k) {
             ASSERT_EQ(set.size(), p + 1) << settings.summary();
           }
           if (!branch.attend.everything) {
             const int32_t since = p - kept.stamp;
             const int32_t bound = settings.policy() == "recycled" ? std::max(k + 1, since) : k + 1;
             ASSERT_LE(set.size(), bound) << settings.summary() << " t " << t;
           }
           if (set.size() == p + 1) {
             ASSERT_EQ(set.lead, p + 1)
                 << "a complete set must be the run 0..p, or it is not bit-equal to full attention";
             ASSERT_FALSE(branch.attend.rank_rotation);
           }
         });
  }
}

TEST(Policies, FullAttendsToEverythingAndIsFullAtEveryStep) {
  walk(Settings("full"), 5, 9, 1, [](int32_t, int32_t p, const PositionSet& set, const Branch& branch, const Kept&) {
    EXPECT_EQ(set.size(), p + 1);
    EXPECT_TRUE(branch.full);
    EXPECT_FALSE(branch.after.select);
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
    const int32_t j = p - kept.stamp, n_old = std::max(0, 6 - j + 1);
    std::set<int32_t> expected(kept.rank.begin(), kept.rank.begin() + n_old);
    for (int32_t i = kept.stamp + 1; i <= p; ++i) expected.insert(i);
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
    EXPECT_EQ(kept.stamp, 199);
  });
}

TEST(Policies, ScoreOnlyAnswersFromTheOldSetAndRebuildsItForTheNextStep) {
  Settings settings("recycled");
  settings.set("K", int64_t{8});
  settings.set("S", int64_t{4});
  settings.set("refresh", std::string("score_only"));
  walk(settings, 50, 12, 5, [](int32_t t, int32_t p, const PositionSet& set, const Branch& branch, const Kept& kept) {
    EXPECT_EQ(branch.full, t % 4 == 0);
    EXPECT_EQ(branch.after.select, branch.full);
    EXPECT_EQ(set.size(), 9);
    EXPECT_EQ(kept.stamp, p - (t - 1) % 4 - 1);
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
    EXPECT_EQ(plan.otherwise.full, plan.gated);
    EXPECT_TRUE(plan.compare.present && plan.compare.per_kv_head);
    EXPECT_EQ(plan.compare.stage, QueryStage::post_rope);
    EXPECT_EQ(plan.compare.how, Similarity::min_cosine);
    if (plan.gated) {
      EXPECT_EQ(plan.threshold, 0.5);
    }
  }
  // At the threshold itself, and where the cosine is no number, the step is full.
  EXPECT_FALSE(stays(0.5, 0.5));
  EXPECT_FALSE(stays(std::numeric_limits<double>::quiet_NaN(), -1));
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
    EXPECT_TRUE(dense.full && dense.attend.everything && dense.after.select);  // score_only or not
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

TEST(Policies, UnknownNamesAndMisfitSettingsAreUsageErrorsThatListWhatIsKnown) {
  const RunShape shape = {.n_layer = 2, .n_head = 1, .n_kv_head = 1, .n_prompt = 10};
  try {
    make_policy(Settings("h3o"), shape);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_NE(std::string(error.what()).find("full, recycled, streaming"), std::string::npos) << error.what();
  }
  Settings settings("recycled");
  settings.set("K", std::vector<int64_t>{4, 5, 6});
  EXPECT_THROW(make_policy(settings, shape), Error);
}

TEST(Policies,
     ParameterTableAndRegistryNameTheSamePolicies) {  // or a settings file is refused for a policy that exists
  std::set<std::string_view> registered, taken = {"full"};
  for (const PolicyInfo& info : policy_registry()) {
    registered.insert(info.name);
    EXPECT_NO_THROW(Settings::from_toml(Settings(std::string(info.name)).to_toml(), "x"));
  }
  for (const Parameter& parameter : parameters()) taken.insert(parameter.policies.begin(), parameter.policies.end());
  EXPECT_EQ(registered, taken);
}

}  // namespace
}  // namespace reattend
