// A table says the same to everybody who reads it: people get rounded columns that fit, programs get all digits.
#include "report/table.h"

#include <gtest/gtest.h>

#include <limits>

#include <nlohmann/json.hpp>

#include "base/json_number.h"
#include "report/words.h"

namespace reattend {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN(), kInf = std::numeric_limits<double>::infinity();

Table policies() {
  return {.name = "policies",
          .title = "Policies beside full attention",
          .columns = {{.key = "policy", .left = true},
                      {.key = "kl", .title = "KL", .digits = 4, .notation = Notation::small},
                      {.key = "share", .title = "of all", .digits = 1, .scale = 100, .unit = " %"},
                      {.key = "bytes", .hidden = true},
                      {.key = {}, .title = "MB", .digits = 2, .scale = 1e-6},
                      {.key = "off", .digits = 0, .scale = 100, .unit = " %", .sign = true}},
          .rows = {{std::string("full"), 0.0, 1.0, int64_t{4'000'000}, int64_t{4'000'000}, 0.0},
                   {std::string("h2o, \"heavy\""), 4.1e-7, 0.125, int64_t{500'000}, int64_t{500'000}, -0.5},
                   {std::string("none"), kNan, kInf, {}, {}, 1.25}},
          .marked = {1}};
}

TEST(Table, PeopleReadRoundedNumbersInColumnsAndProgramsAllOfThem) {
  EXPECT_EQ(to_text(policies()),
            "Policies beside full attention\n"
            "  policy             KL   of all    MB     off\n"
            "  full                0  100.0 %  4.00    +0 %\n"
            "* h2o, \"heavy\"  4.1e-07   12.5 %  0.50   -50 %\n"
            "  none                -    never     -  +125 %\n");
  EXPECT_EQ(to_csv(policies()),
            "policy,kl,share,bytes,off\n"
            "full,0,1,4000000,0\n"
            "\"h2o, \"\"heavy\"\"\",4.1e-07,0.125,500000,-0.5\n"
            "none,,inf,,1.25\n");
  const nlohmann::json json = nlohmann::json::parse(to_json(policies()).dump());
  EXPECT_EQ(json[1],
            nlohmann::json(
                {{"policy", "h2o, \"heavy\""}, {"kl", 4.1e-7}, {"share", 0.125}, {"bytes", 500000}, {"off", -0.5}}));
  for (const char* const key : {"kl", "share", "bytes"}) EXPECT_TRUE(json[2][key].is_null()) << key;
}

TEST(Table, MarkdownAndHtmlMarkTheChosenRowAndShowNamesAsTheyAre) {
  EXPECT_EQ(to_markdown(policies()),
            "Policies beside full attention\n\n"
            "| policy | KL | of all | MB | off |\n"
            "|---|---:|---:|---:|---:|\n"
            "| full | 0 | 100.0 % | 4.00 | \\+0 % |\n"
            "| **h2o, \"heavy\"** | **4.1e-07** | **12.5 %** | **0.50** | **\\-50 %** |\n"
            "| none | - | never | - | \\+125 % |\n");
  Table table = policies();
  table.rows[0][0] = std::string("<b>");
  const std::string html = to_html(table);
  EXPECT_NE(html.find("<td class=\"left\">&lt;b&gt;</td>"), std::string::npos) << html;
  EXPECT_NE(html.find("<tr class=\"marked\"><td class=\"left\">h2o"), std::string::npos) << html;
  EXPECT_EQ(html.find("4000000"), std::string::npos) << "what is for programs alone";
}

TEST(Table, WideOnesAreFoldedUnderTheRowsName) {
  Table table = {.columns = {{.key = "setting", .left = true}}, .rows = {{std::string("recycled S=16 K=L/8")}}};
  for (int group = 0; group < 6; ++group) {
    for (int i = 0; i < 3; ++i) {
      table.columns.push_back({.key = "number " + std::to_string(i), .group = "group " + std::to_string(group)});
      table.rows[0].emplace_back(group + i / 8.0);
    }
  }
  const std::string text = to_text(table, 100);
  size_t n_name = 0;
  for (size_t begin = 0; begin < text.size(); begin = text.find('\n', begin) + 1) {
    const std::string line = text.substr(begin, text.find('\n', begin) - begin);
    EXPECT_LE(shown_width(line), 100U) << line;
    n_name += line.starts_with("recycled");
  }
  EXPECT_EQ(n_name, 3U) << text;
  for (int group = 0; group < 6; ++group) {
    EXPECT_NE(text.find("group " + std::to_string(group) + " ---"), std::string::npos) << text;
  }
}

TEST(Table, LongTextsAreBrokenIntoLinesBesideTheirName) {
  const Table table = {.columns = {{.key = "dataset", .left = true}, {.key = "what it holds", .left = true}},
                       .rows = {{std::string("steps/keys"), std::string("key of a position as the cache holds it, "
                                                                        "after the rotation by its place")},
                                {std::string("steps/ms"), std::string("time")}}};
  EXPECT_EQ(to_text(table, 60),
            "dataset     what it holds\n"
            "steps/keys  key of a position as the cache holds it, after\n"
            "            the rotation by its place\n"
            "steps/ms    time\n");
}

TEST(Table, TurnedItsColumnsAreRowsWithTheirDigits) {
  Table table = {
      .columns = {{.key = "of"},
                  {.key = "full steps, %", .digits = 1, .scale = 100},
                  {.key = "KL", .digits = 4},
                  {.key = "hash", .hidden = true}},
      .rows = {{std::string("predicted"), 0.0625, {}, int64_t{7}}, {std::string("measured"), 0.125, 0.25, int64_t{8}}}};
  EXPECT_EQ(to_text(transposed(table)),
            "               predicted  measured\n"
            "full steps, %        6.2      12.5\n"
            "KL                     -    0.2500\n");
  EXPECT_EQ(to_text(unfolded(table)),
            "predicted  full steps, %  6.2\n"
            "           KL             -\n"
            "measured   full steps, %  12.5\n"
            "           KL             0.2500\n");
}

TEST(Table, NothingAndNoRowsArePrintedAsWhatTheyAre) {
  EXPECT_EQ(to_text({.title = "Nothing was lost.", .columns = {}}), "Nothing was lost.\n");
  EXPECT_EQ(to_text({.columns = {{.key = "a"}, {.key = "b"}}}), "a  b\n");
  EXPECT_EQ(to_text({.columns = {{.key = "a"}}, .rows = {{int64_t{1}}}}), "a\n1\n");
  EXPECT_EQ(to_csv({.columns = {{.key = "a"}}, .rows = {{std::string("two\nlines")}}}), "a\n\"two\nlines\"\n");
}

TEST(Words, CountsAndLines) {
  EXPECT_EQ(thousands(0), "0");
  EXPECT_EQ(thousands(-1234567), "-1,234,567");
  EXPECT_EQ(thousands(100), "100");
  EXPECT_EQ(plural(1, "step"), "1 step");
  EXPECT_EQ(plural(2048, "step"), "2,048 steps");
  EXPECT_EQ(wrapped("one two three", 7), "one two\nthree\n");
  EXPECT_EQ(wrapped("* one two three", 8, 2), "* one\n  two\n  three\n");
  EXPECT_EQ(wrapped("", 8), "");
}

TEST(Json, NumbersThatAreNoneAreNull) {
  EXPECT_TRUE(json_number(kNan).is_null() && json_number(kInf).is_null() && json_number(std::nullopt).is_null());
  EXPECT_EQ(json_number(0.5), 0.5);
  EXPECT_EQ(json_text(nlohmann::json{{"text", "a\xff"}}), "{\"text\":\"a\xEF\xBF\xBD\"}");
}

}  // namespace
}  // namespace reattend
