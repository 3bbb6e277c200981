// The list of policies that a user types: what it means, and what is said of one that means nothing.
#include "policies/policy_list.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "policies/policy.h"

namespace reattend {
namespace {

std::vector<std::string> summaries(const std::vector<Settings>& policies) {
  std::vector<std::string> out;
  for (const Settings& each : policies) out.push_back(each.summary());
  return out;
}
using Texts = std::vector<std::string>;

TEST(PolicyList, NamesAlone) {
  EXPECT_EQ(summaries(parse_policies("recycled,h2o,full", {})), (Texts{"recycled S=10 K=64", "h2o K=64", "full"}));
}

TEST(PolicyList, PairsBehindColonsOrBlanksByKeyOrFlag) {
  const Texts wanted = {"recycled S=5 K=32 pool=1", "snapkv K=64 window=16"};
  EXPECT_EQ(summaries(parse_policies("recycled:S=5:K=32:pool=1,snapkv:window=16", {})), wanted);
  EXPECT_EQ(summaries(parse_policies(" recycled S=5 K=32 pool=1 , snapkv window=16 ", {})), wanted);
  EXPECT_EQ(summaries(parse_policies("recycled:stride=5:budget=32:pool=1,snapkv:window=16", {})), wanted);
}

TEST(PolicyList, ASummaryMeansItsPolicyAgain) {
  for (const Settings& each :
       parse_policies("recycled:S=never:schedule=query:dense_layers=[0,2],oracle:K=[4,5,6]", {})) {
    EXPECT_EQ(parse_policies(each.summary(), {}), (std::vector<Settings>{each})) << each.summary();
  }
}

TEST(PolicyList, CommonValuesGoWhereTheyAreTakenAndGiveWay) {
  const ParameterValues common = {{"K", std::string("L/8")}, {"S", int64_t{4}}};
  EXPECT_EQ(summaries(parse_policies("recycled,recycled:S=7,streaming:K=9,full", common)),
            (Texts{"recycled S=4 K=L/8", "recycled S=7 K=L/8", "streaming K=9", "full"}));
  EXPECT_NO_THROW(check_taken(common, parse_policies("recycled", common)));
  EXPECT_THROW(check_taken(common, parse_policies("h2o", common)), Error);
}

TEST(PolicyList, AllAreEveryPolicyButFull) {
  const std::vector<Settings> all = all_policies({{"K", int64_t{100}}});
  EXPECT_EQ(all.size() + 1, policy_registry().size());
  for (const Settings& each : all) {
    EXPECT_NE(each.policy(), "full");
    EXPECT_EQ(std::get<int64_t>(each.get("K")), 100) << each.policy();
  }
}

TEST(PolicyList, NamesAreShortWhereTheBudgetIsOne) {
  const auto same = parse_policies("full,recycled:S=5:K=L/8,recycled:K=L/8:pool=1,h2o:K=L/8", {});
  EXPECT_EQ(common_budget(same), "L/8");
  EXPECT_EQ(short_names(same), (Texts{"full", "recycled S=5", "recycled S=10 pool=1", "h2o"}));
  const std::string list = "[4, 5, 6, 7, 8, 9, 10]";  // a summary shows its ends alone
  EXPECT_EQ(short_names(parse_policies("recycled:K=" + list + ",h2o:K=" + list, {})), (Texts{"recycled S=10", "h2o"}));
  const auto different = parse_policies("recycled:K=6,recycled:K=64", {});
  EXPECT_EQ(common_budget(different), "");
  EXPECT_EQ(short_names(different), (Texts{"recycled S=10 K=6", "recycled S=10 K=64"}));
  EXPECT_EQ(common_budget(parse_policies("full", {})), "");
}

struct Bad {
  std::string text, culprit;
};
class BadPolicyList : public testing::TestWithParam<Bad> {};
TEST_P(BadPolicyList, IsWrongUseAndNamesTheEntry) {
  try {
    parse_policies(GetParam().text, {});
    FAIL() << GetParam().text;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    const std::string line = error.what();
    EXPECT_NE(line.find("--policies"), std::string::npos) << line;
    EXPECT_NE(line.find(GetParam().culprit), std::string::npos) << line;
    EXPECT_EQ(line.find('\n'), std::string::npos) << line;
  }
}
INSTANTIATE_TEST_SUITE_P(Text, BadPolicyList,
                         testing::Values(Bad{"", "name"}, Bad{"recycled,", "name"}, Bad{"recycled,,h2o", "name"},
                                         Bad{"recycled,telepathy", "telepathy"}, Bad{"h2o:S=4", "S=4"},
                                         Bad{"h2o:S=4", "policies that take it: recycled, streaming_refresh"},
                                         Bad{"full:K=4", "K=4"}, Bad{"recycled:K", "K"},
                                         Bad{"recycled:K=", "recycled:K="}, Bad{"recycled:K=-1", "-1"},
                                         Bad{"recycled:K=ten", "ten"}, Bad{"recycled:pool=2", "pool"},
                                         Bad{"recycled:=5", "=5"}, Bad{"recycled:K=[1,2,snapkv", "[1,2"},
                                         Bad{"recycled]:K=1", "recycled]"}, Bad{"a\nb", "a"}));

}  // namespace
}  // namespace reattend
