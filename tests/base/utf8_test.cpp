// Text streamed token by token shows whole characters only, and one U+FFFD for what is broken, wherever it is cut.
#include <gtest/gtest.h>

#include "base/utf8.h"
#include "engine/text/tokenizer.h"

namespace reattend {
namespace {

const std::string kBad = "\xEF\xBF\xBD";

std::string whole(std::string_view bytes) {
  Utf8Stream stream;
  std::string out = stream.push(bytes);
  return out + stream.finish();
}

TEST(Utf8Stream, NoCutShowsHalfACharacter) {
  const std::string text = "a\u00e9\u20ac\U0001F600z";
  for (size_t first = 0; first <= text.size(); ++first) {
    for (size_t second = first; second <= text.size(); ++second) {
      Utf8Stream stream;
      std::string out;
      const auto push = [&](size_t from, size_t to) {
        const std::string part = stream.push(std::string_view(text).substr(from, to - from));
        // Each part on its own is valid: that is what a terminal gets to see.
        for (std::string_view rest = part; !rest.empty();) {
          const Utf8Char c = first_utf8_char(rest);
          ASSERT_EQ(c.status, Utf8Status::ok);
          rest.remove_prefix(c.length);
        }
        out += part;
      };
      push(0, first);
      push(first, second);
      push(second, text.size());
      EXPECT_EQ(out, text) << "cut at " << first << " and " << second;
      EXPECT_EQ(stream.finish(), "");
    }
  }
}

TEST(Utf8Stream, CharacterIsShownAsSoonAsItIsComplete) {
  Utf8Stream stream;
  EXPECT_EQ(stream.push("\xE2"), "");
  EXPECT_EQ(stream.push("\x82"), "");
  EXPECT_EQ(stream.push("\xAC"), "\u20ac");
}

TEST(Utf8Stream, BrokenBytesBecomeOneReplacementPerMaximalSubpart) {
  const auto bad = [](int n) {
    std::string out;
    for (int i = 0; i < n; ++i) out += kBad;
    return out;
  };
  // The Unicode Standard, tables 3-8 to 3-11.
  EXPECT_EQ(whole("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"), bad(8) + "A");
  EXPECT_EQ(whole("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41"), bad(8) + "A");
  EXPECT_EQ(whole("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42"), bad(5) + "A" + bad(2) + "B");
  EXPECT_EQ(whole("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), bad(4) + "A");
}

TEST(Utf8Stream, BrokenBytesComeOutTheSameWhereverTheyAreCut) {
  const std::string text = "\xF0\x9F\x98x\xE2\x82\xC3\xA9\xFF\xF4\x90\x80\x80";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    Utf8Stream stream;
    std::string out = stream.push(std::string_view(text).substr(0, cut));
    out += stream.push(std::string_view(text).substr(cut));
    EXPECT_EQ(out + stream.finish(), whole(text)) << cut;
  }
}

TEST(Utf8Stream, TextThatEndsInsideACharacterSaysSoOnce) {
  Utf8Stream stream;
  EXPECT_EQ(stream.push("ok\xF0\x9F\x98"), "ok");
  EXPECT_EQ(stream.finish(), kBad);
  EXPECT_EQ(stream.finish(), "");
}

TEST(Utf8, EveryCodePointIsReadBackAndSurrogatesAreNot) {
  for (char32_t c = 0; c < 0x110000; ++c) {
    std::string text;
    const auto add = [&text](char32_t byte) { text += static_cast<char>(byte); };
    if (c < 0x80) {
      add(c);
    } else if (c < 0x800) {
      add(0xC0 | c >> 6), add(0x80 | (c & 63));
    } else if (c < 0x10000) {
      add(0xE0 | c >> 12), add(0x80 | (c >> 6 & 63)), add(0x80 | (c & 63));
    } else {
      add(0xF0 | c >> 18), add(0x80 | (c >> 12 & 63)), add(0x80 | (c >> 6 & 63)), add(0x80 | (c & 63));
    }
    const Utf8Char got = first_utf8_char(text);
    const bool surrogate = c >= 0xD800 && c < 0xE000;
    ASSERT_EQ(got.status == Utf8Status::ok, !surrogate) << std::hex << static_cast<uint32_t>(c);
    ASSERT_TRUE(surrogate || (got.codepoint == c && got.length == text.size())) << std::hex << static_cast<uint32_t>(c);
  }
}

// What --skip-chars leaves out: a character is what is shown as one, whole or broken.
TEST(Utf8, CharactersAreCountedOnBytesAsTheyAre) {
  const auto reach = [](std::string_view text, int64_t n) {
    const Utf8Prefix prefix = first_utf8_chars(text, n);
    return std::pair(prefix.bytes, prefix.characters);
  };
  EXPECT_EQ(reach("h\xE9llo", 2), std::pair(size_t{2}, int64_t{2})) << "Latin-1";
  EXPECT_EQ(reach("\xE6\x97\xA5!", 1), std::pair(size_t{3}, int64_t{1}));
  EXPECT_EQ(reach("\xE6\x97!", 1), std::pair(size_t{2}, int64_t{1})) << "cut, shown as one U+FFFD";
  EXPECT_EQ(reach("ab", 5), std::pair(size_t{2}, int64_t{2}));
  EXPECT_EQ(reach("ab", 0), std::pair(size_t{0}, int64_t{0}));
}

}  // namespace
}  // namespace reattend
