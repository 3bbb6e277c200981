// Text of any script: characters whole, words unbroken, every byte in its place, and found whatever its tokens.
#include <algorithm>
#include <random>

#include <gtest/gtest.h>

#include "base/utf8.h"
#include "viz/session/graphemes.h"
#include "viz/session/text_layout.h"
#include "viz/session/text_search.h"
#include "viz/session/token_text.h"

namespace reattend::viz {
namespace {

/// Each character as wide as a digit, marks included.
float ten_a_character(std::string_view text) {
  return 10 * static_cast<float>(character_count(text));
}

TextLayout laid_out(const std::vector<std::string>& tokens, float width) {
  TextLayout layout;
  layout.set_text(tokens);
  layout.measure(ten_a_character);
  layout.wrap(width);
  return layout;
}

/// Every byte a token of its own, as byte-level vocabularies have most scripts at worst.
std::vector<std::string> by_bytes(std::string_view text) {
  std::vector<std::string> out;
  for (const char byte : text) out.emplace_back(1, byte);
  return out;
}

/// What a line shows, from left to right.
std::string shown(const TextLayout& layout, int32_t line) {
  std::vector<TextLayout::Run> runs = layout.runs_of(line, UINT32_MAX);
  std::ranges::stable_sort(runs, {}, &TextLayout::Run::x);
  std::string out;
  for (const TextLayout::Run& run : runs) out += run.text;
  return out;
}

std::string all_shown(const TextLayout& layout) {
  std::string out;
  for (int32_t i = 0; i < layout.n_line(); ++i) out += shown(layout, i);
  return out;
}

struct Sample {
  const char* script;
  std::string text;
  size_t n_grapheme;
};

const Sample kSamples[] = {
    {"Latin", "na\u00efve cafe\u0301", 10},
    {"Greek", "\u03b1\u03b2\u03b3 \u03ac", 5},
    {"Cyrillic", "\u043f\u0440\u0438\u0432\u0435\u0442", 6},
    {"Hebrew", "\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd", 4},
    {"Arabic", "\u0645\u064e\u0631\u0652\u062d\u064e\u0628\u064b\u0627", 5},
    {"Devanagari", "\u0928\u093f\u092f\u092e\u0940", 3},
    {"Tamil", "\u0ba4\u0bae\u0bbf\u0bb4\u0bcd", 3},
    {"Thai", "\u0e17\u0e35\u0e48\u0e19\u0e35\u0e48", 2},
    {"Han", "\u65e5\u672c\u8a9e", 3},
    {"Kana", "\u304b\u3099\u30ab\u30bf", 3},
    {"Hangul", "\u1112\u1161\u11ab\uae00", 2},
    {"Armenian", "\u0540\u0561\u0575", 3},
    {"emoji", "\U0001F468\u200D\U0001F469\u200D\U0001F467\U0001F44D\U0001F3FD\U0001F1EB\U0001F1F7\u2764\uFE0F", 4},
};

// Whoever reads another script than Latin saw numbers of bytes, or letters torn from their marks.
TEST(TextLayout, CharactersOfThirteenScriptsAreWhole) {
  for (const Sample& sample : kSamples) {
    SCOPED_TRACE(sample.script);
    size_t n = 0;
    for (std::string_view rest = sample.text; !rest.empty(); ++n) rest.remove_prefix(first_grapheme(rest));
    EXPECT_EQ(n, sample.n_grapheme);
    for (const auto& tokens : {std::vector<std::string>{sample.text}, by_bytes(sample.text)}) {
      const TextLayout layout = laid_out(tokens, 1e6F);
      const std::string all = all_shown(layout);
      EXPECT_EQ(all.find("\\x"), std::string::npos) << all;
      EXPECT_EQ(all.size(), sample.text.size());
      // Narrower than any word: lines are broken between characters alone.
      const TextLayout narrow = laid_out(tokens, 1);
      for (int32_t i = 0; i < narrow.n_line(); ++i) {
        EXPECT_TRUE(begins_character(layout.text()[narrow.line(i).begin]));
        EXPECT_EQ(shown(narrow, i).find("\\x"), std::string::npos);
      }
      EXPECT_EQ(narrow.n_line(), static_cast<int32_t>(sample.n_grapheme));
    }
  }
}

TEST(TextLayout, BytesThatNobodyCompletesStayBytes) {
  EXPECT_EQ(all_shown(laid_out({"\xe6\x97", "a"}, 1e6F)), "\\xE6\\x97a");
  EXPECT_EQ(all_shown(laid_out({"\xa5", "\xe6"}, 1e6F)), "\\xA5\\xE6");
  EXPECT_EQ(all_shown(laid_out({"\xe6", "\x97", "\xa5"}, 1e6F)), "\u65e5");
  EXPECT_EQ(laid_out({}, 100).n_line(), 0);
}

// A highlight is over what its token stands for, and a click on it comes back to the token.
TEST(TextLayout, PositionsAndPlacesAreInverse) {
  std::mt19937 random(3);
  std::string text;
  for (int i = 0; i < 40; ++i) {
    text += kSamples[random() % std::size(kSamples)].text;
    text += random() % 9 == 0 ? "\n" : random() % 3 == 0 ? " " : "";
  }
  for (int round = 0; round < 20; ++round) {
    std::vector<std::string> tokens;
    for (size_t at = 0; at < text.size();) {
      const size_t n = std::min<size_t>(1 + random() % 7, text.size() - at);
      tokens.push_back(text.substr(at, n));
      at += n;
    }
    const TextLayout layout = laid_out(tokens, 40 + static_cast<float>(random() % 300));
    ASSERT_EQ(layout.text(), text);
    std::vector<Span> spans;
    for (int32_t i = 0; i < layout.n_position(); ++i) {
      const ByteRange bytes = layout.bytes_of(i);
      EXPECT_EQ(layout.position_of(bytes.begin), i);
      float wide = 0;
      for (int32_t line = layout.line_of(bytes.begin); line <= layout.line_of(bytes.end - 1); ++line) {
        spans.clear();
        layout.spans_of(line, bytes, spans);
        ASSERT_FALSE(spans.empty());
        for (const Span& span : spans) {
          EXPECT_EQ(layout.position_at(line, (span.begin + span.end) / 2), i) << "line " << line;
          wide += span.end - span.begin;
        }
      }
      EXPECT_GT(wide, 0);
    }
    // Lines hold every byte once, and places of a line do not overlap.
    uint32_t end = 0;
    for (int32_t line = 0; line < layout.n_line(); ++line) {
      EXPECT_EQ(layout.line(line).begin, end);
      end = layout.line(line).end;
      float sum = 0;
      spans.clear();
      for (uint32_t byte = layout.line(line).begin; byte < end; ++byte) {
        std::vector<Span> one;
        layout.spans_of(line, {byte, byte + 1}, one);
        for (const Span& span : one) sum += span.end - span.begin;
      }
      layout.spans_of(line, layout.line(line), spans);
      float whole = 0;
      for (const Span& span : spans) whole += span.end - span.begin;
      EXPECT_NEAR(sum, whole, 0.01 * (1 + whole));
    }
    EXPECT_EQ(end, text.size());
  }
}

TEST(TextLayout, WordsAreNotBrokenAtLineEnds) {
  const TextLayout layout = laid_out({"The ", "unbe", "liev", "able", " lamp", "\n", "was", "\n\n", "lit"}, 130);
  std::vector<std::string> lines;
  for (int32_t i = 0; i < layout.n_line(); ++i) lines.push_back(shown(layout, i));
  EXPECT_EQ(lines, (std::vector<std::string>{"The", " unbelievable", " lamp\u21b5", "was\u21b5", "\u21b5", "lit"}))
      << "a line as wide as a word and its space";
  // A word that no line has room for is broken all the same.
  EXPECT_EQ(laid_out({"aaaaaaaaaaaaaaaaaaaa"}, 55).n_line(), 4);
  // Scripts without spaces are broken anywhere, but closing marks stay with what they close.
  const TextLayout han = laid_out({"\u65e5\u672c\u8a9e\u3002\u65e5"}, 30);
  EXPECT_EQ(shown(han, 0), "\u65e5\u672c");
  EXPECT_EQ(shown(han, 1), "\u8a9e\u3002\u65e5");
}

TEST(TextLayout, WordsFromRightToLeftAreSetSo) {
  EXPECT_EQ(all_shown(laid_out({"ab \u05d0\u05d1\u05d2 cd"}, 1e6F)), "ab \u05d2\u05d1\u05d0 cd");
  EXPECT_EQ(all_shown(laid_out({"(\u05d0\u05d1)"}, 1e6F)), "(\u05d1\u05d0)") << "brackets face their word";
  EXPECT_EQ(all_shown(laid_out({"\u05d0\u05d1-1948"}, 1e6F)), "1948-\u05d1\u05d0") << "numbers keep their order";
  // The first token of such a word is its right end.
  const TextLayout layout = laid_out({"\u05d0", "\u05d1"}, 1e6F);
  EXPECT_EQ(layout.position_at(0, 15), 0);
  EXPECT_EQ(layout.position_at(0, 5), 1);
}

// What is searched for is text: whoever looks for a name does not know how it was cut into tokens.
TEST(TextSearch, FindsAcrossTokensInAnyCase) {
  const TextLayout layout =
      laid_out({"The L", "am", "p, the la", "mp; \u0391\u0392", "\u0393 stra\u00dfe \u042f"}, 1e6F);
  TextSearch search;
  search.set_text(layout.text());
  const auto positions = [&](const char* wanted) {
    search.find(wanted);
    std::vector<std::pair<int32_t, int32_t>> out;
    for (const ByteRange& hit : search.hits()) {
      out.emplace_back(layout.position_of(hit.begin), layout.position_of(hit.end - 1));
    }
    return out;
  };
  using Pairs = std::vector<std::pair<int32_t, int32_t>>;
  EXPECT_EQ(positions("lamp"), (Pairs{{0, 2}, {2, 3}}));
  EXPECT_EQ(positions("LAMP,"), (Pairs{{0, 2}}));
  EXPECT_EQ(positions("\u03b1\u03b2\u03b3"), (Pairs{{3, 4}}));
  EXPECT_EQ(positions("STRA\u00dfE"), (Pairs{{4, 4}}));
  EXPECT_EQ(positions("\u044f"), (Pairs{{4, 4}}));
  EXPECT_TRUE(positions("").empty());
  EXPECT_TRUE(positions("lamps").empty());
  search.find("lamp");
  const uint32_t second = search.hits()[1].begin;
  EXPECT_EQ(search.next_from(0), 0);
  EXPECT_EQ(search.next_from(second), 1);
  EXPECT_EQ(search.next_from(second + 1), 0) << "around the end";
  EXPECT_EQ(search.last_before(second), 0);
  EXPECT_EQ(search.last_before(0), 1) << "around the start";
}

// Bytes of half a character must neither be found in whole ones nor stop the search.
TEST(TextSearch, TakesAnyBytes) {
  TextSearch search;
  search.set_text("a\xe6\x97z\u65e5z\xff");
  search.find("\xe6");
  EXPECT_EQ(search.hits(), (std::vector<ByteRange>{{1, 2}}));
  search.find("\u65e5Z");
  EXPECT_EQ(search.hits().size(), 1U);
  search.set_text("");
  EXPECT_TRUE(search.hits().empty());
  EXPECT_EQ(search.next_from(0), -1);
}

TEST(Excerpt, HasNeighboursAndWholeCharacters) {
  const std::vector<std::string> tokens = {"a", "\xe6", "\x97", "\xa5", "b", " c", "\xf0\x9f", "\x98\x80"};
  EXPECT_EQ(excerpt(tokens, 4, 1).before, "") << "a part of a character is none";
  EXPECT_EQ(excerpt(tokens, 4, 3).before, "\u65e5");
  EXPECT_EQ(excerpt(tokens, 2, 8).own, "\u65e5");
  EXPECT_EQ(excerpt(tokens, 2, 8).before, "a");
  EXPECT_EQ(excerpt(tokens, 2, 8).after, "b c\U0001F600");
  EXPECT_EQ(excerpt(tokens, 4, 2).after, " c");
  EXPECT_EQ(excerpt(tokens, 0, 0).own, "a");
  EXPECT_EQ(excerpt(tokens, 9, 2).own, "");
}

}  // namespace
}  // namespace reattend::viz
