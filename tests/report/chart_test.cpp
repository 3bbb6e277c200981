// A chart must be a well-formed picture with everything in it: series, round ticks inside, texts that nothing covers.
#include "report/chart.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <regex>

namespace reattend {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// Tags in pairs, attributes quoted, no stray markup: what a reader of XML insists on. Empty: well-formed.
std::string xml_error(const std::string& xml) {
  std::vector<std::string> open;
  for (size_t i = 0; i < xml.size(); ++i) {
    const auto c = static_cast<unsigned char>(xml[i]);
    if (c < 0x20 && c != '\n') return "control character";
    if (c == '&' && !std::regex_search(xml.substr(i, 8), std::regex("^&(amp|lt|gt|quot);"))) return "stray &";
    if (c == '>') return "stray >";
    if (c != '<') continue;
    const size_t end = xml.find('>', i);
    const std::string tag = xml.substr(i + 1, end - i - 1);
    if (tag.find('<') != tag.npos) return "stray <";
    if (std::count(tag.begin(), tag.end(), '"') % 2 != 0) return "open quote in " + tag;
    const std::string name = tag.substr(0, tag.find_first_of(" /", 1));
    if (tag[0] == '/') {
      if (open.empty() || "/" + open.back() != tag) return "closes " + tag;
      open.pop_back();
    } else if (tag[0] != '?' && tag.back() != '/') {
      open.push_back(name);
    }
    i = end;
  }
  return open.empty() ? "" : "left open: " + open.back();
}

struct Text {
  double left, top, right, bottom;
  std::string words;
};
/// Level texts of a figure with the room they take.
std::vector<Text> texts(const std::string& svg) {
  std::vector<Text> out;
  const std::regex pattern(
      "<text x=\"([-0-9.]+)\" y=\"([-0-9.]+)\" font-size=\"([0-9.]+)\" text-anchor=\"(\\w+)\"([^>]*)>([^<]*)<");
  for (std::sregex_iterator at(svg.begin(), svg.end(), pattern), end; at != end; ++at) {
    if ((*at)[5].str().find("rotate") != std::string::npos) continue;
    const double x = std::stod((*at)[1]), y = std::stod((*at)[2]), size = std::stod((*at)[3]);
    // The estimate is on the safe side, so that texts that only just miss each other are told apart here by less.
    const double width = text_width((*at)[6].str(), size) * 0.95;
    const double left = (*at)[4] == "end" ? x - width : (*at)[4] == "middle" ? x - width / 2 : x;
    out.push_back({left, y - size * 0.75, left + width, y, (*at)[6]});
  }
  return out;
}

size_t count(const std::string& text, const std::string& part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++n;
  return n;
}

void expect_nothing_cut_or_covered(const std::string& svg) {
  std::smatch size;
  ASSERT_TRUE(std::regex_search(svg, size, std::regex("width=\"(\\d+)\" height=\"(\\d+)\"")));
  const std::vector<Text> all = texts(svg);
  ASSERT_GT(all.size(), 10U);
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_GE(all[i].left, 0) << all[i].words;
    EXPECT_LE(all[i].right, std::stod(size[1])) << all[i].words;
    EXPECT_LE(all[i].bottom, std::stod(size[2])) << all[i].words;
    for (size_t j = 0; j < i; ++j) {
      const bool meet = all[i].left < all[j].right && all[j].left < all[i].right && all[i].top < all[j].bottom &&
                        all[j].top < all[i].bottom;
      EXPECT_FALSE(meet) << all[i].words << " covers " << all[j].words;
    }
  }
}

Chart two_panels(size_t n_series) {
  Panel curves = {.title = "curves", .x = {.title = "step"}, .y = {.title = "KL", .log = true}};
  Panel points = {.title = "points", .x = {.title = "ms"}, .y = {.title = "KL", .log = true}, .name_points = true};
  for (size_t i = 0; i < n_series; ++i) {
    const auto x = static_cast<double>(i);
    const std::string name = "policy number " + std::to_string(i) + " with parameters=" + std::to_string(i * i);
    curves.series.push_back({.name = name, .x = {1, 2, 3}, .y = {0.01 + x, 0.02 + x, 0.04 + x}});
    points.series.push_back({.name = name, .x = {3 + x / 10}, .y = {0.1 + x / 50}, .line = false, .points = true});
  }
  points.marks.push_back({5, "full, 5.00 ms"});
  return {.title = "A title", .subtitle = "and what is below it", .panels = {curves, points}};
}

TEST(Chart, HasEverySeriesInLegendAndPanels) {
  const std::string svg = to_svg(two_panels(5));
  EXPECT_EQ(xml_error(svg), "");
  for (int i = 0; i < 5; ++i) {
    EXPECT_GE(count(svg, ">policy number " + std::to_string(i) + " "), 2U) << "in the legend and beside its point";
  }
  EXPECT_EQ(count(svg, "clip-path="), 5U);
  for (const char* words :
       {">A title<", ">and what is below it<", ">curves<", ">points<", ">step<", ">ms<", ">full, 5.00 ms<"}) {
    EXPECT_EQ(count(svg, words), 1U) << words;
  }
}

TEST(Chart, NoTextIsCutOrCoversAnother) {
  for (const size_t n : {1, 5, 11, 30}) {
    SCOPED_TRACE(n);
    expect_nothing_cut_or_covered(to_svg(two_panels(n)));
  }
}

TEST(Chart, LongWordsStayInside) {
  Chart chart = two_panels(3);
  chart.title = std::string(400, 'W') + " " + std::string(30, 'x');
  chart.subtitle = std::string(90, 'm') + " " + std::string(90, 'm') + " " + std::string(90, 'm');
  chart.panels[0].title = std::string(200, 'M');
  chart.panels[0].series[0].name = std::string(300, 'w');
  const std::string svg = to_svg(chart);
  EXPECT_EQ(xml_error(svg), "");
  expect_nothing_cut_or_covered(svg);
}

TEST(Chart, SurvivesWhatNamesAndNumbersMayHold) {
  Chart chart = two_panels(2);
  chart.title = "<b>\"a\" & b</b>\x01\xff";
  chart.panels[0].series[0].y = {kNan, kNan, kNan};
  chart.panels[0].series[1].y = {0, -1, std::numeric_limits<double>::infinity()};
  chart.panels[1].series[0].y = {0};
  chart.panels[1].series[1].x = {kNan};
  chart.panels[1].marks[0].x = kNan;
  const std::string svg = to_svg(chart);
  EXPECT_EQ(xml_error(svg), "");
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(svg.find("inf"), std::string::npos);
  EXPECT_EQ(count(svg, "fill=\"white\" stroke=\""), 1U) << "a point at 0 stands hollow on the edge";
  EXPECT_EQ(xml_error(to_svg({.title = "nothing", .panels = {{.title = "empty"}}})), "");
  EXPECT_EQ(xml_error(to_svg({})), "");
}

TEST(Chart, PredictedMeasuredAndChosenPointsLookDifferentAndLevelsKeepClear) {
  Chart chart = {.title = "told apart",
                 .panels = {{.title = "all", .x = {.title = "ms"}, .y = {.title = "KL", .log = true}}}};
  chart.panels[0].series = {
      {.name = "predicted",
       .x = {1, 2, 3},
       .y = {1, 0.1, 0.01},
       .points = true,
       .style = PointStyle::hollow,
       .labels = {"S=2", "", "S=4"}},
      {.name = "measured", .x = {2.5}, .y = {0.05}, .line = false, .points = true},
      {.name = "chosen", .x = {2.5}, .y = {0.05}, .line = false, .points = true, .style = PointStyle::ring}};
  chart.panels[0].levels = {{0.1, "bound: 0.1"}, {0.011, "bound: 0.011"}, {kNan, "none"}};
  const std::string svg = to_svg(chart);
  EXPECT_EQ(xml_error(svg), "");
  expect_nothing_cut_or_covered(svg);
  EXPECT_EQ(count(svg, "class=\"paper\""), 5U) << "the page, three hollow points, one in the legend";
  EXPECT_EQ(count(svg, "r=\"9\""), 2U) << "the ring, and in the legend";
  EXPECT_EQ(count(svg, "stroke-dasharray=\"5 4\""), 2U);
  for (const char* words : {">S=2<", ">S=4<", ">bound: 0.1<", ">bound: 0.011<"})
    EXPECT_EQ(count(svg, words), 1U) << words;
}

TEST(Chart, AsElementsOfAPageTwoDoNotShareIds) {
  const std::string a = to_svg_element(two_panels(2), "a"), b = to_svg_element(two_panels(2), "b");
  EXPECT_EQ(a.find("<svg "), 0U) << "no prolog within a page";
  EXPECT_NE(a.find("aria-label=\"A title\""), std::string::npos);
  EXPECT_EQ(count(a, "id=\"a0\"") + count(a, "id=\"a1\""), 2U);
  EXPECT_EQ(count(b, "id=\"a"), 0U);
}

TEST(Ticks, AreRoundOrderedAndCoverTheData) {
  for (const bool log : {false, true}) {
    for (double low : {1e-9, 0.013, 1.0, 7.0, 999.0}) {
      for (const double factor : {1.0, 1.0001, 1.5, 3.0, 20.0, 1e3, 1e8}) {
        const double high = low * factor;
        const Ticks ticks = nice_ticks(low, high, {.log = log}, 7);
        SCOPED_TRACE(testing::Message() << low << " to " << high << (log ? " log" : ""));
        EXPECT_LE(ticks.low, low * (1 + 1e-6));
        EXPECT_GE(ticks.high, high * (1 - 1e-6));
        ASSERT_FALSE(ticks.at.empty());
        EXPECT_LE(ticks.at.size(), 11U);
        EXPECT_TRUE(std::is_sorted(ticks.at.begin(), ticks.at.end()));
        for (const double at : ticks.at) {
          EXPECT_GE(at, ticks.low - 1e-9 * std::abs(ticks.low));
          EXPECT_LE(at, ticks.high * (1 + 1e-9));
        }
      }
    }
  }
  EXPECT_EQ(nice_ticks(0, 128, {}, 7).at, (std::vector<double>{0, 20, 40, 60, 80, 100, 120, 140}));
  EXPECT_EQ(nice_ticks(-3, 3, {}, 7).at.size(), 7U);
  EXPECT_EQ(nice_ticks(0, 0, {}, 7).at.size() > 1, true);
  EXPECT_EQ(nice_ticks(0, 2, {}, 7).at, (std::vector<double>{0, 0.5, 1, 1.5, 2}));
  EXPECT_EQ(nice_ticks(0, 2, {.whole = true}, 7).at, (std::vector<double>{0, 1, 2})) << "there is no layer 0.5";
}

TEST(Ticks, AreWrittenShort) {
  EXPECT_EQ(tick_label(0), "0");
  EXPECT_EQ(tick_label(-0.0), "0");
  EXPECT_EQ(tick_label(0.25), "0.25");
  EXPECT_EQ(tick_label(0.1 + 0.2), "0.3");
  EXPECT_EQ(tick_label(1500), "1500");
  EXPECT_EQ(tick_label(0.0005), "0.0005");
  EXPECT_EQ(tick_label(2e-7), "2e-7");
  EXPECT_EQ(tick_label(1e12), "1e12");
}

}  // namespace
}  // namespace reattend
