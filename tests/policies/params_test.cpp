// The parameters of all policies and the texts users type for their values.
#include <gtest/gtest.h>

#include <set>

#include "base/error.h"
#include "policies/policy.h"

namespace reattend {
namespace {

const Parameter& row(std::string_view key) {
  const Parameter* parameter = find_parameter(key);
  if (parameter == nullptr) throw Error("no parameter " + std::string(key));
  return *parameter;
}

/// The line a user would read; empty when `text` is accepted.
std::string complaint(std::string_view key, std::string_view text) {
  try {
    parse_value(row(key), text);
    return {};
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage) << text;
    return error.what();
  }
}

TEST(Params, DefaultsAreThoseOfTheReference) {  // a case file names only what differs from them
  EXPECT_EQ(row("K").initial, "64");
  EXPECT_EQ(row("S").initial, "10");
  EXPECT_EQ(row("schedule").initial, "fixed");
  EXPECT_EQ(row("threshold").initial, "0.85");
  EXPECT_EQ(row("reduce").initial, "max");
  EXPECT_EQ(row("pool").initial, "7");
  EXPECT_EQ(row("similarity_query").initial, "pre_rope");
  EXPECT_EQ(row("similarity_reduce").initial, "mean_query");
  EXPECT_EQ(row("granularity").initial, "layer");
  EXPECT_EQ(row("dense_layers").initial, "[]");
  EXPECT_EQ(row("refresh").initial, "attend");
  EXPECT_EQ(row("sinks").initial, "4");
  EXPECT_EQ(row("rotate").initial, "absolute");
}

TEST(Params, EveryDefaultIsWithinItsOwnRangeAndEveryNameIsUnique) {
  std::set<std::string_view> names;
  for (const Parameter* const parameter : parameters()) {
    EXPECT_NO_THROW(parse_value(*parameter, parameter->initial)) << parameter->key;
    for (const std::string_view text : parameter->tried) EXPECT_NO_THROW(parse_value(*parameter, text)) << text;
    EXPECT_EQ(find_parameter(parameter->flag), parameter);
    EXPECT_FALSE(parameter->help.empty()) << parameter->key;
    // Two policies that declare a parameter of one name each would share its option, and a file would mean either.
    EXPECT_TRUE(names.insert(parameter->key).second) << parameter->key;
    if (parameter->flag != parameter->key) {
      EXPECT_TRUE(names.insert(parameter->flag).second) << parameter->flag;
    }
  }
}

TEST(Params, TheTableIsTheUnionOfWhatPoliciesTake) {
  size_t n = 0;
  for (const Parameter* const parameter : parameters()) {
    const std::vector<std::string_view> takers = takers_of(*parameter);
    EXPECT_FALSE(takers.empty()) << parameter->key;
    for (const std::string_view name : takers) EXPECT_EQ(find_policy(name)->find(parameter->key)->parameter, parameter);
    n += takers.size();
  }
  for (const PolicyInfo& info : policy_registry()) n -= info.parameters.size();
  EXPECT_EQ(n, 0U);
  EXPECT_EQ(takers_of(row("rotate")), (std::vector<std::string_view>{"streaming", "streaming_refresh"}));
  EXPECT_EQ(takers_of(row("beta")), std::vector<std::string_view>{"pyramidkv"});
}

TEST(Params, AConditionNamesAValueThatItsPolicyTakes) {  // or the parameter never decides anything
  for (const PolicyInfo& info : policy_registry()) {
    for (const PolicyParameter& each : info.parameters) {
      if (each.when.parameter == nullptr) continue;
      EXPECT_TRUE(info.takes(each.when.parameter->key)) << info.name;
      EXPECT_TRUE(each.when.holds(each.when.meeting())) << info.name << ": " << each.when.text();
      EXPECT_TRUE(info.takes(each.parameter->key));
    }
  }
}

TEST(Params, TextsThatUsersTypeBecomeValuesAndComeBackAsTheSameText) {
  const struct {
    std::string_view key, text, same;
  } kTexts[] = {
      {"K", "512", "512"},
      {"K", "L/8", "L/8"},
      {"K", "[1, 2,3]", "[1, 2, 3]"},
      {"K", "4,5", "[4, 5]"},
      {"S", "never", "never"},
      {"S", "16", "16"},
      {"S", "[16, 8]", "[16, 8]"},
      {"S", "never,16", "[never, 16]"},
      {"K", "L/8, 512,L/2", "[L/8, 512, L/2]"},
      {"threshold", "1", "1.0"},
      {"threshold", "-0.5", "-0.5"},
      {"threshold", "0.85,0.9", "[0.85, 0.9]"},
      {"pool", "1", "1"},
      {"reduce", "mean", "mean"},
      {"dense_layers", "[]", "[]"},
      {"dense_layers", "0,1", "[0, 1]"},
      {"dense_layers", "3", "[3]"},
      {"sinks", "0", "0"},
      {"K", " 7 ", "7"},
  };
  for (const auto& [key, text, same] : kTexts) {
    const Value value = parse_value(row(key), text);
    EXPECT_EQ(to_text(value), same);
    EXPECT_EQ(parse_value(row(key), to_text(value)), value) << text;
  }
}

TEST(Params, NonsenseIsRefusedInOneLineThatNamesTheRange) {
  const std::string long_list = "[" + std::string(200'000, '1') + "]";
  std::string many = "1";
  for (int i = 0; i < 10'000; ++i) many += ",1";
  const std::pair<std::string_view, std::string_view> kWrong[] = {
      {"K", "0"},
      {"K", "-1"},
      {"K", "1.5"},
      {"K", "never"},
      {"K", "L/0"},
      {"K", "L/"},
      {"K", "L/-8"},
      {"K", "L/8x"},
      {"K", ""},
      {"K", "[]"},
      {"K", "[1,]"},
      {"K", "[1,,2]"},
      {"K", "[1"},
      {"K", "1e3"},
      {"K", "99999999999999999999"},
      {"K", "1073741825"},
      {"K", "[4, 0]"},
      {"K", "[L/8, 0]"},
      {"K", "[L/8, never]"},
      {"K", "[L/8, 1.5]"},
      {"S", "[L/8, 4]"},
      {"S", "0"},
      {"S", "L/8"},
      {"S", "inf"},
      {"threshold", "nan"},
      {"threshold", "inf"},
      {"threshold", "2.01"},
      {"threshold", "-2"},
      {"threshold", "[0.5, nan]"},
      {"threshold", "abc"},
      {"pool", "2"},
      {"pool", "0"},
      {"pool", "[1, 3]"},
      {"reduce", "median"},
      {"reduce", ""},
      {"dense_layers", "-1"},
      {"dense_layers", "[1, 1]"},
      {"sinks", "-1"},
      {"n_init", "-1"},
      {"pool", "auto"},
      {"page", "0"},
      {"selection_cache", "maybe"},
      {"K", long_list},
      {"K", many},
      {"K", "12 34"},
      {"threshold", "0,5;"},
  };
  for (const auto& [key, text] : kWrong) {
    const std::string line = complaint(key, text);
    EXPECT_NE(line.find("expected"), std::string::npos) << key << " " << text.substr(0, 40) << ": " << line;
    EXPECT_LT(line.size(), 1200U);
    EXPECT_EQ(line.find('\n'), std::string::npos);
  }
  EXPECT_NE(complaint("K", "0").find("from 1 to 1073741824"), std::string::npos) << complaint("K", "0");
  EXPECT_NE(complaint("pool", "4").find("odd"), std::string::npos);
  EXPECT_NE(complaint("reduce", "x").find("max, mean, first"), std::string::npos);
}

}  // namespace
}  // namespace reattend
