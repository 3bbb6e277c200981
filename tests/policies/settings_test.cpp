// Settings files and case files: what is read is what was written, and what is wrong is named with its line.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <limits>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "policies/settings.h"

namespace reattend {
namespace {

std::string line_of(const std::function<void()>& work) {
  try {
    work();
    return {};
  } catch (const Error& error) {
    return error.what();
  }
}

std::string toml_line(std::string_view text) {
  return line_of([&] { Settings::from_toml(text, "f.toml"); });
}
std::string json_line(const std::string& text) {
  return line_of([&] { Settings::from_json(nlohmann::json::parse(text), "c.json"); });
}

TEST(Settings, WhatIsWrittenIsReadBackTheSame) {
  Settings settings("recycled");
  settings.set("K", std::string("L/8"));
  settings.set("S", std::monostate{});
  settings.set("threshold", std::vector<double>{0.5, 1});
  settings.set("dense_layers", std::vector<int64_t>{0, 1});
  settings.set("schedule", std::string("query"));
  EXPECT_EQ(Settings::from_toml(settings.to_toml(), "x"), settings) << settings.to_toml();
  EXPECT_EQ(Settings::from_json(settings.to_json(), "x"), settings) << settings.to_json();
  const Settings full;
  EXPECT_EQ(Settings::from_toml(full.to_toml(), "x"), full);
}

TEST(Settings, DefaultsWrittenOutMeanTheSameAsDefaultsLeftOut) {
  Settings settings("recycled");
  settings.set("K", int64_t{64});
  settings.set("threshold", 0.85);
  EXPECT_EQ(settings, Settings("recycled"));
  settings.set("K", int64_t{32});
  EXPECT_NE(settings, Settings("recycled"));
  settings.set("K", int64_t{64});
  EXPECT_EQ(settings, Settings("recycled"));
}

TEST(Settings, ValuesAreResolvedForALayerAndAPrompt) {
  Settings settings("recycled");
  settings.set("K", std::string("L/8"));
  settings.set("S", std::vector<int64_t>{4, 9});
  EXPECT_EQ(settings.count("K", 0, 705), 88);
  EXPECT_EQ(settings.count("K", 0, 8), 1);
  EXPECT_EQ(settings.count_or_never("S", 1), 9);
  settings.set("S", std::monostate{});
  EXPECT_EQ(settings.count_or_never("S", 1), std::nullopt);
  settings.set("threshold", std::vector<double>{0.25, 1});
  EXPECT_EQ(settings.real("threshold", 0), 0.25);
}

TEST(Settings, ListsMixCountsWithFractionsAndNever) {
  const Settings settings =
      Settings::from_toml("[policy]\nname = 'recycled'\nK = ['L/8', 64, '0512']\nS = [4, 'never', 16]\n", "f.toml");
  EXPECT_EQ(settings.count("K", 0, 800), 100);
  EXPECT_EQ(settings.count("K", 1, 800), 64);
  EXPECT_EQ(settings.count("K", 2, 800), 512);
  EXPECT_EQ(settings.count_or_never("S", 0), 4);
  EXPECT_EQ(settings.count_or_never("S", 1), std::nullopt);
  EXPECT_NO_THROW(settings.check_against_model(3));
  EXPECT_THROW(settings.check_against_model(4), Error);
  EXPECT_EQ(settings.to_json()["K"], nlohmann::json({"L/8", 64, 512}));
  EXPECT_EQ(Settings::from_json(settings.to_json(), "case"), settings);
  EXPECT_EQ(Settings::from_toml(settings.to_toml(), "again.toml"), settings);
}

TEST(Settings, ASummaryStaysShortWhereEveryLayerHasItsOwn) {
  Settings settings("recycled");
  std::vector<std::string> budgets(30, "L/64");
  budgets[7] = "L/2", budgets[9] = "L/8";
  settings.set("K", budgets);
  settings.set("S", std::vector<int64_t>(30, 16));
  settings.set("dense_layers", std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6});
  EXPECT_EQ(settings.summary(), "recycled S=16 by layer K=L/64..L/2 by layer dense_layers=7 layers");
  // 2 stands for a layer without a gate, and is no cosine.
  Settings gated("recycled");
  std::vector<double> thresholds(30, 2);
  thresholds[3] = 0.7, thresholds[4] = 0.9;
  gated.set("schedule", std::string("query")), gated.set("threshold", thresholds);
  EXPECT_NE(gated.summary().find("threshold=0.7..0.9 by layer"), std::string::npos) << gated.summary();
}

TEST(Settings, SummaryShowsWhatMatters) {
  Settings settings("recycled");
  EXPECT_EQ(settings.summary(), "recycled S=10 K=64");
  settings.set("schedule", std::string("query"));
  settings.set("pool", int64_t{1});
  EXPECT_EQ(settings.summary(), "recycled S=10 K=64 schedule=query threshold=0.85 pool=1");
  EXPECT_EQ(Settings("streaming").summary(), "streaming K=64");
  EXPECT_EQ(Settings().summary(), "full");
}

TEST(Settings, TomlLeavesOtherTablesAlone) {
  const Settings settings =
      Settings::from_toml("[evidence]\nx = [1, 'a']\n[policy]\nname = 'recycled'\nS = 16\nthreshold = 1\n", "f.toml");
  EXPECT_EQ(settings.count_or_never("S", 0), 16);
  EXPECT_EQ(settings.real("threshold", 0), 1.0);
}

TEST(Settings, WrongFilesAreRefusedWithFileAndLine) {
  const std::pair<std::string_view, std::string_view> kWrong[] = {
      {"[policy", "f.toml:1"},
      {"[policy]\nname = 'recycled'\nK = 1\nK = 2\n", "f.toml:4"},
      {"[policy]\nname = 'recycled'\n\nK = 0\n", "f.toml:4: K"},
      {"[policy]\nname = 'recycled'\nK = nan\n", "f.toml:3: K"},
      {"[policy]\nname = 'recycled'\nthreshold = nan\n", "f.toml:3: threshold"},
      {"[policy]\nname = 'recycled'\nthreshold = inf\n", "f.toml:3: threshold"},
      {"[policy]\nname = 'recycled'\nK = 'many'\n", "f.toml:3: K"},
      {"[policy]\nname = 'recycled'\nK = true\n", "f.toml:3: K"},
      {"[policy]\nname = 'recycled'\nK = {a = 1}\n", "f.toml:3: K"},
      {"[policy]\nname = 'recycled'\nK = ['a']\n", "f.toml:3: K"},
      {"[policy]\nname = 'recycled'\nK = 64.0\n", "f.toml:3: K"},
      {"[policy]\nname = 'recycled'\ncolour = 1\n", "f.toml:3"},
      {"[policy]\nname = 'recycled'\nbudget = 1\n", "written K"},
      {"[policy]\nname = 'recycled'\nsinks = 1\n", "f.toml:3"},
      {"[policy]\nname = 'h2x'\n", "f.toml:2"},
      {"[policy]\nname = 1\n", "f.toml:2"},
      {"[policy]\nK = 1\n", "f.toml:1"},
      {"policy = 1\n", "f.toml:1"},
      {"", "f.toml"},
      {"\xff\xfe", "f.toml"},
  };
  for (const auto& [text, part] : kWrong) {
    const std::string line = toml_line(text);
    EXPECT_NE(line.find(part), std::string::npos) << text << "\n-> " << line;
    EXPECT_NE(line.find("expected"), std::string::npos) << line;
    EXPECT_EQ(line.find('\n'), std::string::npos) << line;
  }
}

TEST(Settings, DeepNestingAndHugeListsAreRefused) {
  EXPECT_NE(toml_line("[policy]\nname='recycled'\nK = " + std::string(100'000, '[')), "");
  std::string list = "[policy]\nname='recycled'\nK = [1";
  for (int i = 0; i < 100'000; ++i) list += ",1";
  const std::string line = toml_line(list + "]\n");
  EXPECT_NE(line.find("expected"), std::string::npos);
  EXPECT_LT(line.size(), 1500U);
}

TEST(Settings, WrongCaseObjectsAreRefused) {
  const std::string kWrong[] = {
      "[]",
      "{}",
      R"({"name":3})",
      R"({"name":"nope"})",
      R"({"name":"recycled","K":null})",
      R"({"name":"recycled","K":18446744073709551615})",
      R"({"name":"recycled","K":{"a":1}})",
      R"({"name":"recycled","K":[[1]]})",
      R"({"name":"recycled","k":4})",
      R"({"name":"full","K":4})",
      R"({"name":"recycled","pool":4})",
      R"({"name":"recycled","threshold":1e999})",
  };
  for (const std::string& text : kWrong) {
    std::string line;
    try {
      line = json_line(text);
    } catch (const nlohmann::json::exception&) {
      continue;  // 1e999 is no JSON number at all
    }
    EXPECT_NE(line.find("c.json"), std::string::npos) << text << " -> " << line;
  }
}

TEST(Settings, WhatACallerSetsWrongIsAUsageError) {
  Settings settings("recycled");
  for (const auto& [key, value] :
       std::vector<std::pair<std::string, Value>>{{"K", int64_t{0}},
                                                  {"sinks", int64_t{1}},
                                                  {"x", int64_t{1}},
                                                  {"threshold", std::numeric_limits<double>::quiet_NaN()}}) {
    try {
      settings.set(key, value);
      ADD_FAILURE() << key;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::usage) << key;
    }
  }
}

TEST(Settings, PerLayerValuesMustFitTheModel) {
  Settings settings("recycled");
  settings.set("K", std::vector<int64_t>{1, 2, 3});
  EXPECT_NO_THROW(settings.check_against_model(3));
  EXPECT_THROW(settings.check_against_model(4), Error);
  Settings dense("recycled");
  dense.set("dense_layers", std::vector<int64_t>{29});
  EXPECT_NO_THROW(dense.check_against_model(30));
  EXPECT_THROW(dense.check_against_model(29), Error);
}

TEST(Settings, AParameterOfOthersIsRefusedWithTheirNames) {
  const std::string line = line_of([] { Settings::from_toml("[policy]\nname = 'h2o'\nrotate = 'cache'\n", "f.toml"); });
  EXPECT_NE(line.find("policies that take it: streaming, streaming_refresh"), std::string::npos) << line;
  const std::string flag = line_of([] { Settings::from_toml("[policy]\nname = 'h2o'\nbudget = 9\n", "f.toml"); });
  EXPECT_NE(flag.find("it is written K here"), std::string::npos) << flag;
}

TEST(Settings, UnderAnotherPolicyWhatBothTakeIsKept) {
  Settings settings("recycled");
  settings.set("K", int64_t{9}), settings.set("S", int64_t{4}), settings.set("pool", int64_t{3});
  EXPECT_EQ(settings.under("snapkv").summary(), "snapkv K=9 pool=3");
  EXPECT_EQ(settings.under("recycled"), settings);
  EXPECT_EQ(Settings("quest").under("recycled"), Settings("recycled")) << "another policy's defaults are its own";
}

TEST(Settings, AParameterDecidesWhereItsConditionHolds) {
  Settings settings("recycled");
  EXPECT_FALSE(settings.decides("threshold"));
  EXPECT_TRUE(settings.decides("pool"));
  EXPECT_FALSE(settings.decides("rotate"));
  settings.let_decide("threshold");
  EXPECT_TRUE(settings.decides("threshold"));
  EXPECT_EQ(settings.choice("schedule"), "query");
}

/// Floors and stages of options that are off: shown as if they mattered, a user would tune them for nothing.
TEST(Settings, WhatDecidesNothingIsSaidWithWhatItTakes) {
  Settings settings("sketch");
  EXPECT_FALSE(settings.decides("min_k"));
  EXPECT_FALSE(settings.decides("similarity_query"));
  EXPECT_TRUE(settings.without_effect().empty()) << "nothing is set";
  settings.set("min_k", int64_t{8}), settings.set("similarity_query", std::string("post_rope"));
  EXPECT_EQ(settings.without_effect(),
            (std::vector<std::string>{"min_k decides nothing here: it takes min_weight above 0, which is 0.0",
                                      "similarity_query decides nothing here: it takes reuse of at most 1, which is "
                                      "2.0"}));
  settings.set("min_weight", 0.001), settings.set("reuse", 1.0);
  EXPECT_TRUE(settings.decides("min_k"));
  EXPECT_TRUE(settings.decides("similarity_query"));
  EXPECT_TRUE(settings.without_effect().empty());
  Settings brought_in("sketch");
  brought_in.let_decide("min_k");
  EXPECT_EQ(brought_in.real("min_weight", 0), 0.0005) << "the first that a tuner tries and that is above 0";
  EXPECT_EQ(brought_in.summary(), "sketch K=64 min_weight=0.0005") << "min_k has its usual value";
}

TEST(Settings, LettersOfAnyLanguageMayStandInCommentsAndOtherTables) {
  const char* text =
      "\xEF\xBB\xBF# \u00fcber\n[evidence]\ntrace = 'caf\u00e9.h5'\n'\u00e9' = 1\n'\u00e8' = 2\n[policy]\nname = "
      "'full'\n";
  EXPECT_EQ(Settings::from_toml(text, "f.toml").policy(), "full");
  // Elsewhere they are errors with a line, not what the TOML library makes of them.
  EXPECT_EQ(line_of([] { Settings::from_toml("[policy]\n\u00e9 = 1\n", "f.toml"); }).find("f.toml:2: "), 0U);
  EXPECT_EQ(line_of([] { Settings::from_toml("[policy]\nname = \u00e9\n", "f.toml"); }).find("f.toml:2: "), 0U);
  EXPECT_EQ(
      line_of([] { Settings::from_toml("[policy]\nname = \"\"\"\\\n\u00e9\"\"\"\n", "f.toml"); }).find("f.toml:2: "),
      0U);
}

TEST(Settings, UnreadableFilesAreNamed) {
  const auto folder = std::filesystem::temp_directory_path();
  const auto path = folder / ("reattend_settings_" + std::to_string(::getpid()) + ".toml");
  EXPECT_NE(line_of([&] { Settings::from_toml_file(path); }).find(path.string()), std::string::npos);
  EXPECT_NE(line_of([&] { Settings::from_toml_file(folder); }).find(folder.string()), std::string::npos);
  std::ofstream(path) << std::string(2 << 20, '#');
  EXPECT_NE(line_of([&] { Settings::from_toml_file(path); }).find("at most"), std::string::npos);
  std::ofstream(path) << "[policy]\nname = 'streaming'\nK = 9\n";
  EXPECT_EQ(Settings::from_toml_file(path).count("K", 0, 100), 9);
  std::filesystem::remove(path);
}

/// "got 5" beside "expected an integer" sends nobody to the quotes.
TEST(Settings, ANumberInQuotesIsShownWithThem) {
  const std::string toml = line_of([] { Settings::from_toml("[policy]\nname='recycled'\nK = \"5\"\n", "f.toml"); });
  EXPECT_NE(toml.find("f.toml:3: K: expected an integer"), std::string::npos) << toml;
  EXPECT_NE(toml.find("got the text \"5\"; numbers stand without quotes"), std::string::npos) << toml;
  const auto json = nlohmann::json::parse(R"({"name": "recycled", "threshold": "0.5"})");
  const std::string real = line_of([&] { Settings::from_json(json, "c.json"); });
  EXPECT_NE(real.find("got the text \"0.5\"; numbers stand without quotes"), std::string::npos) << real;
  const std::string word = line_of([] { Settings::from_toml("[policy]\nname='recycled'\nK = \"L\"\n", "f.toml"); });
  EXPECT_EQ(word.find("quotes"), std::string::npos) << word;
}

/// Neither one position nor none is what "a third" of two tokens asks for.
TEST(Settings, AFractionThatIsNothingOfThePromptIsRefusedByName) {
  Settings settings("recycled");
  settings.set("K", std::string("L/3"));
  EXPECT_EQ(settings.count("K", 0, 3), 1);
  EXPECT_EQ(settings.count("K", 0, 5), 1);
  const std::string line = line_of([&] { settings.count("K", 0, 2); });
  EXPECT_EQ(line.find("K: expected a fraction of the prompt that is at least 1 of its 2 tokens, got L/3"), 0U) << line;
  settings.set("K", std::vector<std::string>{"4", "L/3"});
  EXPECT_EQ(settings.count("K", 0, 2), 4);
  EXPECT_THROW(settings.count("K", 1, 2), Error);
}

TEST(Settings, AutoIsRefusedWhereNothingSaysWhatItIs) {
  Settings token_select("tokenselect");
  EXPECT_NO_THROW(token_select.set("K", std::string("auto")));
  EXPECT_TRUE(token_select.is_auto("n_local"));
  Settings recycled("recycled");
  try {
    recycled.set("K", std::string("auto"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_NE(std::string(error.what()).find("a value of K"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace reattend
