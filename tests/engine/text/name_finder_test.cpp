// Names in a text: found as llama.cpp finds special tokens, and in bounded time for any names.
#include "engine/text/name_finder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <stdexcept>
#include <string>

namespace reattend {
namespace {

using Names = std::vector<std::string>;

std::vector<std::string_view> views(const Names& names) {
  return {names.begin(), names.end()};
}

/// "TEXT|name|TEXT": the names between bars.
std::string cut(const Names& names, std::string_view text, bool takes_space = false) {
  std::string out;
  size_t done = 0;
  for (const auto& [begin, end, index] :
       NameFinder(views(names))
           .find(
               text, [](int32_t, size_t) { return true; }, [=](int32_t) { return takes_space; })) {
    out += std::string(text.substr(done, begin - done)) + "|" + names[static_cast<size_t>(index)] + "|";
    done = end;
  }
  return out + std::string(text.substr(done));
}

/// The definition: one name after the other, the longest first, in what is left of the text.
std::string cut_slowly(Names names, const std::string& text) {
  std::stable_sort(names.begin(), names.end(), [](const auto& a, const auto& b) { return a.size() > b.size(); });
  std::vector<std::pair<std::string, bool>> parts = {{text, false}};
  for (const std::string& name : names) {
    std::vector<std::pair<std::string, bool>> next;
    for (const auto& [part, is_name] : parts) {
      std::string rest = part;
      for (size_t at; !is_name && (at = rest.find(name)) != std::string::npos; rest = rest.substr(at + name.size())) {
        next.emplace_back(rest.substr(0, at), false);
        next.emplace_back(name, true);
      }
      next.emplace_back(rest, is_name);
    }
    parts = next;
  }
  std::string out;
  for (const auto& [part, is_name] : parts) out += is_name ? "|" + part + "|" : part;
  return out;
}

TEST(NameFinder, LongerNamesComeFirstWhereverTheyStand) {
  EXPECT_EQ(cut({"ab", "bcd"}, "abcd"), "a|bcd|");
  EXPECT_EQ(cut({"<|im|>", "<|im|>x"}, "<|im|>x<|im|>"), "|<|im|>x||<|im|>|");
  EXPECT_EQ(cut({"ab", "ba"}, "bab"), "b|ab|") << "of equal lengths the first name";
  EXPECT_EQ(cut({"aa"}, "aaaaa"), "|aa||aa|a");
  EXPECT_EQ(cut({"aaa", "a"}, "aaaaa"), "|aaa||a||a|");
  EXPECT_EQ(cut({}, "abc"), "abc");
  EXPECT_EQ(cut({"a"}, ""), "");
}

TEST(NameFinder, WhiteSpaceBehindANameMayBelongToIt) {
  EXPECT_EQ(cut({"<a>", "\n\n"}, "<a> \n\n x <a>", true), "|<a>|x |<a>|");
  EXPECT_EQ(cut({"<a>", "    "}, "<a>     x", true), "|<a>||    |x") << "the longest name was cut out before";
}

TEST(NameFinder, FindsWhatTheDefinitionFinds) {
  std::mt19937 random(3);
  const auto text = [&random](size_t most, size_t least) {
    std::string out(least + random() % (most - least + 1), 'a');
    for (char& c : out) c = "ab\xFF"[random() % 3];
    return out;
  };
  for (int round = 0; round < 3000; ++round) {
    Names names(random() % 8);
    for (std::string& name : names) name = text(5, 1);
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    std::shuffle(names.begin(), names.end(), random);
    const std::string where = text(40, 0);
    ASSERT_EQ(cut(names, where), cut_slowly(names, where)) << round;
  }
}

// A file may have 100,000 names, or names that all begin alike; a prompt may be a megabyte of their beginning.
TEST(NameFinder, HostileNamesCostNoMoreThanTheirLength) {
  Names many, nested;
  for (int i = 0; i < 100'000; ++i) many.push_back("<|reserved_" + std::to_string(i) + "|>");
  for (size_t n = 1; n <= NameFinder::kLongestName; ++n) nested.emplace_back(n, 'a');
  std::string text;
  for (int i = 0; i < 20'000; ++i) text += "<|reserved_ and the rest of a prompt";
  EXPECT_EQ(cut(many, text + "<|reserved_99999|>"), text + "|<|reserved_99999|>|");
  EXPECT_EQ(cut(nested, std::string(100'000, 'a')).size(), 100'000 + 2 * 196U);
}

TEST(NameFinder, NamesThatAreNoneAreRefused) {
  EXPECT_THROW(NameFinder({""}), std::invalid_argument);
  EXPECT_THROW(NameFinder({std::string(NameFinder::kLongestName + 1, 'a')}), std::invalid_argument);
}

}  // namespace
}  // namespace reattend
