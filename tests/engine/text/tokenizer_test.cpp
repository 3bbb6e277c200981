// Text to ids and back with small vocabularies: every byte survives, merges follow their rank, broken tables are
// refused.
#include "engine/text/tokenizer.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <map>
#include <random>

#include "base/error.h"
#include "engine/model/gguf.h"
#include "engine/text/pretokenizer.h"
#include "tests/support/gguf_writer.h"

namespace reattend {
namespace {

using testing::GgufWriter;
using Ids = std::vector<int32_t>;
constexpr int32_t kFirst = 256;  ///< id of the first token after the bytes

/// Bytes b have id b; then 256 "he", 257 "ll", 258 "hell", 259 "aa", 260 <|im_end|>, 261 <|a|>, 262 <tool>.
GgufWriter small_vocabulary(const std::string& pre = "gpt-2") {
  GgufWriter w;
  testing::put_tokenizer(w, pre, {"he", "ll", "hell", "aa", "<|im_end|>", "<|a|>", "<tool>"}, {1, 1, 1, 1, 3, 3, 4},
                         {"h e", "l l", "he ll", "a a"});
  return w;
}

Tokenizer make(const GgufWriter& writer) {
  const std::string bytes = writer.bytes();
  return Tokenizer(Gguf::parse("FILE", std::as_bytes(std::span(bytes))));
}

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Tokenizer, MergesTheLowestRankFirstAndThenTheLeftmost) {
  const Tokenizer tokenizer = make(small_vocabulary());
  EXPECT_EQ(tokenizer.encode("hello", false), (Ids{kFirst + 2, 'o'}));
  EXPECT_EQ(tokenizer.encode("helo", false), (Ids{kFirst, 'l', 'o'}));
  EXPECT_EQ(tokenizer.encode("aaa", false), (Ids{kFirst + 3, 'a'}));
  EXPECT_EQ(tokenizer.encode("aaaa", false), (Ids{kFirst + 3, kFirst + 3}));
}

TEST(Tokenizer, SpecialTokensAreParsedOnlyWhenAskedForAndUserDefinedOnesAlways) {
  const Tokenizer tokenizer = make(small_vocabulary());
  EXPECT_EQ(tokenizer.encode("a<|im_end|>a", true), (Ids{'a', kFirst + 4, 'a'}));
  EXPECT_EQ(tokenizer.encode("<|a|>", false), (Ids{'<', '|', 'a', '|', '>'}));
  EXPECT_EQ(tokenizer.encode("<tool><|a|>", false), (Ids{kFirst + 6, '<', '|', 'a', '|', '>'}));
  EXPECT_EQ(tokenizer.encode("<tool><|a|><|a|>", true), (Ids{kFirst + 6, kFirst + 5, kFirst + 5}));
}

TEST(Tokenizer, LongerSpecialTokenWinsOverOneInsideIt) {
  GgufWriter w;
  testing::put_tokenizer(w, "gpt-2", {"<x>", "<<x>>"}, {3, 3}, {});
  EXPECT_EQ(make(w).encode("<<x>><x>", true), (Ids{kFirst + 1, kFirst}));
}

TEST(Tokenizer, ControlTokensAreShownOnlyWhenAskedFor) {
  const Tokenizer tokenizer = make(small_vocabulary());
  const Ids ids = {'h', kFirst + 4, kFirst + 6};
  EXPECT_EQ(tokenizer.decode(ids), "h<tool>");
  EXPECT_EQ(tokenizer.decode(ids, true), "h<|im_end|><tool>");
  EXPECT_NE(message_of([&] { tokenizer.piece(tokenizer.n_vocab()); }).find("0 to 262"), std::string::npos);
  EXPECT_NE(message_of([&] { tokenizer.piece(-1); }).find("-1"), std::string::npos);
}

/// The ids of a prompt with the begin token, and whether that had to be put there.
std::pair<Ids, bool> prompt(const GgufWriter& w, std::string_view text) {
  const Tokenizer tokenizer = make(w);
  Ids ids = tokenizer.encode(text, true);
  const bool added = tokenizer.add_bos(ids);
  return {ids, added};
}

TEST(Tokenizer, BeginTokenComesFirstWhenTheFileAsksForIt) {
  GgufWriter w = small_vocabulary("llama-bpe");
  w.put_u32("tokenizer.ggml.bos_token_id", kFirst + 5);
  EXPECT_EQ(prompt(w, "o"), std::pair(Ids{kFirst + 5, 'o'}, true)) << "usual for llama-bpe";
  EXPECT_EQ(prompt(w, ""), std::pair(Ids{kFirst + 5}, true));
  w.put_bool("tokenizer.ggml.add_bos_token", false);
  EXPECT_EQ(prompt(w, "o"), std::pair(Ids{'o'}, true));
}

// Two begin tokens are a prompt that no model was trained on.
TEST(Tokenizer, BeginTokenIsNotPutBeforeOneThatIsThere) {
  GgufWriter w = small_vocabulary("llama-bpe");
  w.put_u32("tokenizer.ggml.bos_token_id", kFirst + 5);
  EXPECT_EQ(prompt(w, "<|a|>o"), std::pair(Ids{kFirst + 5, 'o'}, false));
  EXPECT_EQ(prompt(w, "o<|a|>"), std::pair(Ids{kFirst + 5, 'o', kFirst + 5}, true));
}

// Whoever writes about <|im_end|> in a chat must not end the turn with it.
TEST(Tokenizer, SpecialTokensAreFoundInMarksAlone) {
  const Tokenizer tokenizer = make(small_vocabulary());
  const Ids spelled = tokenizer.encode("<|im_end|>", false);
  MarkedText text;
  text.add_marks("<|a|>");
  text.add_plain("<|im_end|>");
  text.add_marks("<|im_end|>");
  Ids expected = {kFirst + 5};
  expected.insert(expected.end(), spelled.begin(), spelled.end());
  expected.push_back(kFirst + 4);
  EXPECT_EQ(tokenizer.encode(text), expected);

  MarkedText halves;  // a name that a user completes is none
  halves.add_marks("<|im_");
  halves.add_plain("end|>");
  EXPECT_EQ(tokenizer.encode(halves), spelled);
  MarkedText nested;  // the template's mark is found behind what only looks like its beginning
  nested.add_plain("<|im_end|");
  nested.add_marks("<|im_end|>");
  EXPECT_EQ(tokenizer.encode(nested).back(), kFirst + 4);
  MarkedText tool;
  tool.add_plain("<tool>");
  EXPECT_EQ(tokenizer.encode(tool), Ids{kFirst + 6}) << "user-defined tokens are part of the language";
}

TEST(Tokenizer, WordsReachAcrossTheEdgesOfAMark) {
  const Tokenizer tokenizer = make(small_vocabulary());
  MarkedText text;
  text.add_marks("<|a|>h");
  text.add_plain("ell");
  text.add_plain("");
  text.add_marks("");
  text.add_marks("o<|im_end|>");
  EXPECT_EQ(tokenizer.encode(text), tokenizer.encode("<|a|>hello<|im_end|>", true));
  EXPECT_EQ(text.marks.size(), 2U);
}

TEST(Tokenizer, WhatAFileLeavesOpenIsSaid) {
  GgufWriter w = small_vocabulary();
  EXPECT_EQ(make(w).guesses(), std::vector<std::string>{});
  const auto said = [&](const char* key) {
    const Tokenizer tokenizer = make(w);
    return tokenizer.guesses().size() == 1 && tokenizer.guesses()[0].find(key) != std::string::npos;
  };
  w.erase("tokenizer.ggml.pre");
  EXPECT_TRUE(said("tokenizer.ggml.pre: expected the name of a pre-tokenizer, got no such key"));
  w = small_vocabulary();
  w.put_bool("tokenizer.ggml.add_eos_token", true);
  EXPECT_TRUE(said("add_eos_token"));
  w = GgufWriter();
  testing::put_tokenizer(w, "gpt-2", {}, {}, {});
  EXPECT_TRUE(said("eos_token_id"));
  w.put_u32("tokenizer.ggml.eos_token_id", 0);
  w.erase("tokenizer.ggml.token_type");
  EXPECT_TRUE(said("token_type"));
}

TEST(Tokenizer, WordThatIsATokenIsTakenWholeWhereTheModelWasTrainedSo) {
  GgufWriter w;
  testing::put_tokenizer(w, "llama-bpe", {"xy", "xyz", "yz"}, {1, 1, 1}, {"y z", "x y"});
  w.put_bool("tokenizer.ggml.add_bos_token", false);
  EXPECT_EQ(make(w).encode("xyz", false), (Ids{kFirst + 1}));
  w.put_string("tokenizer.ggml.pre", "qwen2");
  EXPECT_EQ(make(w).encode("xyz", false), (Ids{'x', kFirst + 2}));
}

TEST(Tokenizer, GenerationEndsWhereTheFileOrTheFamilySaysSo) {
  GgufWriter w = small_vocabulary();
  w.put_u32("tokenizer.ggml.eos_token_id", 'q');
  w.put_u32("tokenizer.ggml.eot_token_id", 'r');
  w.put_u32("tokenizer.ggml.eom_token_id", 't');
  const Tokenizer tokenizer = make(w);
  for (const int32_t id : {int32_t{'q'}, int32_t{'r'}, int32_t{'t'}, kFirst + 4})
    EXPECT_TRUE(tokenizer.is_end(id)) << id;
  for (const int32_t id : {int32_t{'s'}, kFirst + 5, -1}) EXPECT_FALSE(tokenizer.is_end(id)) << id;
}

TEST(Tokenizer, EveryByteSequenceSurvivesEncodingAndDecoding) {
  std::mt19937 random(7);
  for (const char* pre : {"smollm", "gpt-2", "default", "qwen2"}) {
    const Tokenizer tokenizer = make(small_vocabulary(pre));
    for (int i = 0; i < 300; ++i) {
      std::string text(random() % 40, '\0');
      // Mostly leads, continuations and blanks: what is nearly UTF-8 finds more than uniform bytes.
      for (char& c : text) c = "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80 \n7ah\xFF\x80"[random() % 17];
      for (const bool special : {false, true}) {
        EXPECT_EQ(tokenizer.decode(tokenizer.encode(text, special), true), text) << pre;
      }
    }
  }
}

TEST(Tokenizer, MergingEqualsThePlainAlgorithm) {
  const Gguf file = Gguf::open("tests/golden/models/tiny_llama.gguf");
  const Tokenizer tokenizer(file);
  // The definition: as long as some pair has a rule, apply the strongest rule at its leftmost place.
  std::map<std::string, int32_t> id_of;
  for (int32_t id = 0; id < tokenizer.n_vocab(); ++id) id_of[tokenizer.piece(id)] = id;
  std::vector<std::pair<std::string, std::string>> rules;
  for (const std::string_view merge : file.strings("tokenizer.ggml.merges")) {
    std::string text(merge);
    for (size_t at; (at = text.find("\xC4\xA0")) != std::string::npos;) text.replace(at, 2, "_");
    const size_t blank = text.find(' ');
    std::replace(text.begin(), text.end(), '_', ' ');
    rules.emplace_back(text.substr(0, blank), text.substr(blank + 1));
  }
  const auto plain = [&](const std::string& word) {
    std::vector<std::string> parts;
    for (const char c : word) parts.emplace_back(1, c);
    for (bool merged = true; merged;) {
      merged = false;
      for (const auto& [left, right] : rules) {
        for (size_t i = 0; !merged && i + 1 < parts.size(); ++i) {
          if (parts[i] != left || parts[i + 1] != right) continue;
          parts[i] += parts[i + 1];
          parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(i) + 1);
          merged = true;
        }
        if (merged) break;
      }
    }
    Ids ids;
    for (const std::string& part : parts) ids.push_back(id_of.at(part));
    return ids;
  };
  std::mt19937 random(3);
  for (int i = 0; i < 500; ++i) {
    std::string word = random() % 2 != 0 ? " " : "";
    for (size_t n = random() % 30 + 1; n > 0; --n) word += "theiandorgsw"[random() % 12];
    EXPECT_EQ(tokenizer.encode(word, false), plain(word)) << word;
  }
}

TEST(Tokenizer, WordOfAMegabyteIsNotQuadratic) {
  // Quadratic merging of this word would run into the time limit of the test.
  const Tokenizer tokenizer = make(small_vocabulary());
  EXPECT_EQ(tokenizer.encode(std::string(1 << 20, 'a'), false), Ids(1 << 19, kFirst + 3));
  EXPECT_EQ(tokenizer.encode(std::string(1 << 20, ' '), false).size(), size_t{1} << 20);
}

TEST(Tokenizer, BytesTheVocabularyLacksAreLeftOut) {
  GgufWriter w;
  w.put_string("tokenizer.ggml.model", "gpt2");
  w.put_strings("tokenizer.ggml.tokens", {"a", "b", "ab"});
  w.put_strings("tokenizer.ggml.merges", {"a b"});
  EXPECT_EQ(make(w).encode("abcab", false), (Ids{2, 2}));
}

struct Garbled {
  const char* name;
  std::function<void(GgufWriter&)> apply;
  std::vector<const char*> says;
};

class GarbledTables : public ::testing::TestWithParam<Garbled> {};

TEST_P(GarbledTables, AreRefusedInOneLineThatNamesThePlace) {
  GgufWriter w = small_vocabulary();
  GetParam().apply(w);
  const std::string message = message_of([&] { make(w); });
  for (const char* word : GetParam().says)
    EXPECT_NE(message.find(word), std::string::npos) << word << "\nin: " << message;
}

const std::vector<Garbled> kGarbled = {
    {"OtherModel",
     [](GgufWriter& w) { w.put_string("tokenizer.ggml.model", "bert"); },
     {"tokenizer.ggml.model", "gpt2", "llama", "bert"}},
    {"NoModel", [](GgufWriter& w) { w.erase("tokenizer.ggml.model"); }, {"tokenizer.ggml.model", "no such key"}},
    {"UnknownPreTokenizer",
     [](GgufWriter& w) { w.put_string("tokenizer.ggml.pre", "chameleon"); },
     {"tokenizer.ggml.pre", "smollm", "gpt-2", "llama-bpe", "qwen2", "tekken", "got chameleon", "--pre-tokenizer"}},
    {"NoTokens", [](GgufWriter& w) { w.put_strings("tokenizer.ggml.tokens", {}); }, {"tokenizer.ggml.tokens", "0"}},
    {"TypesOfOtherTokens",
     [](GgufWriter& w) { w.put_i32s("tokenizer.ggml.token_type", {1}); },
     {"token_type", "263", "1"}},
    {"UnknownType",
     [](GgufWriter& w) { w.put_i32s("tokenizer.ggml.token_type", std::vector<int32_t>(263, 7)); },
     {"token 0", "1 to 6", "7"}},
    {"TokenTwice",
     [](GgufWriter& w) {
       testing::put_tokenizer(w, "gpt-2", {"ab", "ab"}, {1, 1}, {});
     },
     {"token 257", "token 256"}},
    {"NotByteLevel",
     [](GgufWriter& w) { testing::put_tokenizer(w, "gpt-2", {"\xE2\x96\x81the"}, {1}, {}); },
     {"token 256", "byte-level"}},
    {"TokenIsBadUtf8",
     [](GgufWriter& w) { testing::put_tokenizer(w, "gpt-2", {"\xC3"}, {1}, {}); },
     {"token 256", "bytes"}},
    {"MergeOfOneToken", [](GgufWriter& w) { w.put_strings("tokenizer.ggml.merges", {"hell"}); }, {"merge 0", "hell"}},
    {"MergeOfUnknownTokens",
     [](GgufWriter& w) {
       w.put_strings("tokenizer.ggml.merges", {"h e", "he xx"});
     },
     {"merge 1", "he xx", "vocabulary"}},
    {"MergeToUnknownToken",
     [](GgufWriter& w) { w.put_strings("tokenizer.ggml.merges", {"x y"}); },
     {"merge 0", "x y", "vocabulary"}},
    {"MergeOfThree", [](GgufWriter& w) { w.put_strings("tokenizer.ggml.merges", {"h e l"}); }, {"merge 0"}},
    {"EndBeyondTheVocabulary",
     [](GgufWriter& w) { w.put_u32("tokenizer.ggml.eos_token_id", 263); },
     {"eos_token_id", "0 to 262", "263"}},
    {"BeginMissing",
     [](GgufWriter& w) { w.put_bool("tokenizer.ggml.add_bos_token", true); },
     {"bos_token_id", "no such key"}},
};

INSTANTIATE_TEST_SUITE_P(Tokenizer, GarbledTables, ::testing::ValuesIn(kGarbled),
                         [](const auto& garbled) { return std::string(garbled.param.name); });

// ---- words

std::vector<std::string> words(std::string_view pre, std::string_view text) {
  const PreTokenizer splitter(*find_pre_tokenizer(pre));
  std::vector<std::string> out;
  for (const std::string_view word : splitter.split(text)) out.emplace_back(word);
  return out;
}

TEST(PreTokenizer, CutsWordsAsEachModelWasTrained) {
  using List = std::vector<std::string>;
  const std::string text = "I'M 1234 it's  x\n\n y.";
  EXPECT_EQ(words("gpt-2", text), (List{"I", "'", "M", " 1234", " it", "'s", " ", " x", "\n\n", " y", "."}));
  EXPECT_EQ(words("smollm", text),
            (List{"I", "'", "M", " ", "1", "2", "3", "4", " it", "'s", " ", " x", "\n\n", " y", "."}));
  EXPECT_EQ(words("default", text),
            (List{"I", "'", "M", " ", "123", "4", " it", "'", "s", " ", " x", "\n\n", " y", "."}));
  EXPECT_EQ(words("llama-bpe", text), (List{"I", "'M", " ", "123", "4", " it", "'s", " ", " x", "\n\n", " y", "."}));
  EXPECT_EQ(words("qwen2", text),
            (List{"I", "'M", " ", "1", "2", "3", "4", " it", "'s", " ", " x", "\n\n", " y", "."}));
}

TEST(PreTokenizer, SpacesOfOtherScriptsAreSpacesAndTheVowelSeparatorIsNone) {
  EXPECT_EQ(words("gpt-2", "a\u3000\u3000b"), (std::vector<std::string>{"a", "\u3000", "\u3000", "b"}));
  EXPECT_EQ(words("gpt-2", "!\u180E!"), (std::vector<std::string>{"!\u180E!"}));
}

TEST(PreTokenizer, CapitalsAndDigitsAreCutAsTheLaterModelsWereTrained) {
  using List = std::vector<std::string>;
  const std::string text = "HTTPServer's 1234/\u4E2D\u6587abc\t x;";
  EXPECT_EQ(words("tekken", text),
            (List{"HTTPServer", "'s", " ", "1", "2", "3", "4", "/\u4E2D\u6587abc", "\t", " x", ";"}));
  EXPECT_EQ(words("gpt-4o", text), (List{"HTTPServer's", " ", "123", "4", "/\u4E2D\u6587abc", "\t", " x", ";"}));
  EXPECT_EQ(words("deepseek-llm", text),
            (List{"HTTPServer", "'", "s", " ", "1234", "/", "\u4E2D\u6587", "abc", "\t", " x", ";"}));
  EXPECT_EQ(words("deepseek-coder", text),
            (List{"HTTPServer", "'", "s", " ", "1", "2", "3", "4", "/", "\u4E2D\u6587", "abc", "\t", " x", ";"}));
  EXPECT_EQ(words("deepseek-v3", text),
            (List{"HTTPServer", "'s", " ", "123", "4", "/", "\u4E2D\u6587", "abc", "\t", " x", ";"}));
}

TEST(PreTokenizer, FilesOfOneFamilyAreCutAlike) {
  const std::string text = "It's 2026,\n  SO?";
  for (const auto& [name, same_as] : std::vector<std::pair<const char*, const char*>>{{"deepseek-r1-qwen", "qwen2"},
                                                                                      {"falcon3", "llama-bpe"},
                                                                                      {"dbrx", "llama-bpe"},
                                                                                      {"starcoder", "smollm"},
                                                                                      {"olmo", "gpt-2"},
                                                                                      {"llama4", "gpt-4o"}}) {
    EXPECT_EQ(words(name, text), words(same_as, text)) << name;
  }
}

// A file with a name that came after this program can be used by the name of a pattern it knows.
TEST(PreTokenizer, NameOfTheOptionsTakesThePlaceOfTheFilesOwn) {
  const GgufWriter w = small_vocabulary("of-next-year");
  EXPECT_NE(message_of([&] { make(w); }).find("got of-next-year"), std::string::npos);
  const std::string bytes = w.bytes();
  const Gguf file = Gguf::parse("FILE", std::as_bytes(std::span(bytes)));
  const Tokenizer tokenizer(file, {.pre_tokenizer = "qwen2"});
  EXPECT_EQ(tokenizer.encode("hello", false), (Ids{kFirst + 2, 'o'}));
  EXPECT_NE(message_of([&] { Tokenizer(file, {.pre_tokenizer = "x"}); }).find("--pre-tokenizer: expected one of"),
            std::string::npos);
}

// Whoever writes about the end of a turn must not end it, whatever kind a file calls the token.
TEST(Tokenizer, EndOfATurnIsAControlTokenAlsoWhereTheFileCallsItText) {
  GgufWriter w;
  testing::put_tokenizer(w, "gpt-2", {"<|im_end|>"}, {4}, {});
  const Tokenizer tokenizer = make(w);
  EXPECT_EQ(tokenizer.encode("<|im_end|>", false).size(), 10U);
  EXPECT_EQ(tokenizer.encode("<|im_end|>", true), (Ids{kFirst}));
  EXPECT_EQ(tokenizer.decode(Ids{kFirst}), "");
}

TEST(Tokenizer, WhiteSpaceBehindAControlTokenBelongsToItInPhi3) {
  GgufWriter w = small_vocabulary();
  EXPECT_EQ(make(w).encode("<|a|>\n o", true), (Ids{kFirst + 5, '\n', ' ', 'o'}));
  w.put_string("general.name", "Phi-3 Mini");
  EXPECT_EQ(make(w).encode("<|a|>\n o", true), (Ids{kFirst + 5, 'o'}));
  EXPECT_EQ(make(w).encode("<tool>\n o", true), (Ids{kFirst + 6, '\n', ' ', 'o'})) << "text, which keeps its spaces";
}

}  // namespace
}  // namespace reattend
