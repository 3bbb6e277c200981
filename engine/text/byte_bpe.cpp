// Builds a byte-level BPE from a file's tables.
#include "engine/text/byte_bpe.h"

#include <algorithm>
#include <array>
#include <optional>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/utf8.h"
#include "engine/model/gguf.h"
#include "engine/text/bpe.h"
#include "engine/text/pretokenizer.h"

namespace reattend {
namespace {

/// Bytes are written in token texts as characters: printable ones of Latin-1 as themselves, the others as U+0100 and
/// up, in order (the byte_encoder of GPT-2). Maps such a character back to its byte; -1 for characters outside.
constexpr auto kByteOfCharacter = [] {
  std::array<int16_t, 0x144> table{};
  table.fill(-1);
  size_t next = 0x100;
  for (int b = 0; b < 256; ++b) {
    const bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
    table[printable ? static_cast<size_t>(b) : next++] = static_cast<int16_t>(b);
  }
  return table;
}();

/// Nothing when the text holds a character that stands for no byte.
std::optional<std::string> bytes_of_token(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const Utf8Char c = first_utf8_char(text);
    if (c.status != Utf8Status::ok || c.codepoint >= kByteOfCharacter.size() || kByteOfCharacter[c.codepoint] < 0) {
      return std::nullopt;
    }
    out += static_cast<char>(kByteOfCharacter[c.codepoint]);
    text.remove_prefix(c.length);
  }
  return out;
}

class ByteBpe : public TextEncoder {
 public:
  ByteBpe(const Gguf& file, Vocabulary& vocabulary, const PreTokenizerKind& kind)
      : pre_tokenizer_(kind), whole_words_(kind.whole_words) {
    bos_by_default = kind.bos;
    read_words(vocabulary);
    read_merges(file, vocabulary.file);
  }

  void encode(std::string_view text, bool, std::vector<int32_t>& out) const override {
    for (const std::string_view word : pre_tokenizer_.split(text)) {
      const auto whole = whole_words_ ? words_.find(word) : words_.end();
      if (whole != words_.end()) {
        out.push_back(whole->second);
      } else {
        pairs_.encode(word, out);
      }
    }
  }

 private:
  void read_words(Vocabulary& vocabulary);
  void read_merges(const Gguf& gguf, const std::string& file);

  std::unordered_map<std::string_view, int32_t> words_;  ///< normal tokens by their bytes, which the vocabulary holds
  BytePairs pairs_{{}};
  PreTokenizer pre_tokenizer_;
  bool whole_words_;
};

void ByteBpe::read_words(Vocabulary& vocabulary) {
  words_.reserve(vocabulary.tokens.size());
  for (size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    Token& token = vocabulary.tokens[i];
    if (token.kind != TokenKind::normal) continue;
    const std::string where = vocabulary.file + ": token " + std::to_string(i);
    auto bytes = bytes_of_token(token.bytes);
    if (!bytes) {
      fail({where, "characters that stand for bytes", "\"" + token.bytes + "\"", "this is no byte-level vocabulary"});
    }
    token.bytes = std::move(*bytes);
    const auto [other, is_new] = words_.emplace(token.bytes, static_cast<int32_t>(i));
    if (!is_new) fail({where, "a text of its own", "the text of token " + std::to_string(other->second), ""});
  }
  std::vector<int32_t> byte_ids(256, -1);
  for (int b = 0; b < 256; ++b) {
    const char byte = static_cast<char>(b);
    const auto found = words_.find(std::string_view(&byte, 1));
    if (found != words_.end()) byte_ids[b] = found->second;
  }
  knows_every_byte = std::find(byte_ids.begin(), byte_ids.end(), -1) == byte_ids.end();
  pairs_ = BytePairs(std::move(byte_ids));
}

void ByteBpe::read_merges(const Gguf& gguf, const std::string& file) {
  const auto merges = gguf.strings("tokenizer.ggml.merges");
  for (size_t i = 0; i < merges.size(); ++i) {
    // The texts of tokens hold no blanks: byte 32 is written as another character.
    const size_t blank = merges[i].find(' ');
    const auto id_of = [&](const std::string& bytes) {
      const auto found = words_.find(bytes);
      return found == words_.end() ? -1 : found->second;
    };
    const auto refuse = [&](const char* expected) {
      fail({file + ": merge " + std::to_string(i), expected, "\"" + std::string(merges[i]) + "\"",
            "the tokenizer's tables don't fit each other"});
    };
    if (blank == std::string_view::npos) refuse("two tokens with a blank between them");
    const auto left = bytes_of_token(merges[i].substr(0, blank)), right = bytes_of_token(merges[i].substr(blank + 1));
    if (!left || !right) refuse("two tokens with a blank between them");
    const int32_t left_id = id_of(*left), right_id = id_of(*right), merged_id = id_of(*left + *right);
    if (left_id < 0 || right_id < 0 || merged_id < 0) refuse("two tokens that form a third of the vocabulary");
    // An empty token would let a merge reproduce one of its sides for ever.
    if (left->empty() || right->empty()) refuse("two tokens of at least a byte");
    pairs_.add(left_id, right_id, merged_id);
  }
}

}  // namespace

std::unique_ptr<TextEncoder> make_byte_bpe(const Gguf& file, Vocabulary& vocabulary, std::string_view pre) {
  if (!pre.empty()) {
    const PreTokenizerKind* const kind = find_pre_tokenizer(pre);
    if (kind != nullptr) return std::make_unique<ByteBpe>(file, vocabulary, *kind);
    fail_usage({"--pre-tokenizer", "one of " + known_pre_tokenizers(), std::string(pre), ""});
  }
  const std::string_view name = file.string_or("tokenizer.ggml.pre", "default");
  const PreTokenizerKind* const kind = find_pre_tokenizer(name);
  if (kind == nullptr) {
    fail({vocabulary.file + ": tokenizer.ggml.pre", "one of " + known_pre_tokenizers(), std::string(name),
          "choose a model with one of these, or name the one that cuts words alike with --pre-tokenizer"});
  }
  if (!file.has("tokenizer.ggml.pre")) {
    vocabulary.guess("tokenizer.ggml.pre", "the name of a pre-tokenizer", "no such key",
                     "\"default\" is assumed and tokens may be wrong: convert the model with a current converter");
  }
  return std::make_unique<ByteBpe>(file, vocabulary, *kind);
}

}  // namespace reattend
