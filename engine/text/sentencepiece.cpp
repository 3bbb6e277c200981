// Builds a SentencePiece tokenizer from a file's tables.
#include "engine/text/sentencepiece.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <unordered_map>

#include "base/error.h"
#include "engine/model/gguf.h"
#include "engine/text/merging.h"

namespace reattend {
namespace {

/// U+2581, which stands for a space in token texts.
constexpr std::string_view kSpace = "\xE2\x96\x81";

std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  out.reserve(text.size());
  for (size_t at; (at = text.find(from)) != std::string_view::npos; text.remove_prefix(at + from.size())) {
    out.append(text.substr(0, at)).append(to);
  }
  return out.append(text);
}

/// The byte that a name such as <0x0A> stands for; -1 for another name.
int32_t byte_of_name(std::string_view name) {
  if (name.size() != 6 || !name.starts_with("<0x") || name.back() != '>') return -1;
  uint8_t byte = 0;
  const auto [end, error] = std::from_chars(name.data() + 3, name.data() + 5, byte, 16);
  return error == std::errc() && end == name.data() + 5 ? byte : -1;
}

/// Bytes of the character that begins with `lead`, by its highest bits alone: a cut or overlong character stays one
/// symbol, which then becomes byte tokens (as in llama.cpp).
int32_t size_by_lead(char lead) {
  constexpr std::array<int8_t, 16> kSizes = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4};
  return kSizes[static_cast<unsigned char>(lead) >> 4];
}

/// [n_vocab]
std::vector<float> read_scores(const Gguf& file, const Vocabulary& vocabulary) {
  const std::string where = vocabulary.file + ": tokenizer.ggml.scores",
                    expected = std::to_string(vocabulary.size()) + " numbers, one a token";
  const auto found = file.metadata().find("tokenizer.ggml.scores");
  if (found == file.metadata().end()) fail({where, expected, "no such key", ""});
  const GgufValue& value = found->second;
  if (value.type != GgufType::array || value.element != GgufType::f32 || value.count != vocabulary.tokens.size()) {
    fail({where, expected + " (f32)", file.text_of("tokenizer.ggml.scores"), ""});
  }
  std::vector<float> scores(value.count);
  std::memcpy(scores.data(), value.bytes.data(), value.bytes.size());
  for (size_t i = 0; i < scores.size(); ++i) {
    if (std::isnan(scores[i])) fail({where, "numbers", "nan for token " + std::to_string(i), ""});
  }
  return scores;
}

class SentencePiece : public TextEncoder {
 public:
  SentencePiece(const Gguf& file, Vocabulary& vocabulary) : scores_(read_scores(file, vocabulary)) {
    bos_by_default = true;
    space_in_front = file.boolean_or("tokenizer.ggml.add_space_prefix", true);
    byte_ids_.fill(-1);
    read_texts(vocabulary);
    knows_every_byte = std::find(byte_ids_.begin(), byte_ids_.end(), -1) == byte_ids_.end();
    if (file.has("tokenizer.ggml.unknown_token_id")) {
      unknown_ = static_cast<int32_t>(file.integer("tokenizer.ggml.unknown_token_id", 0, vocabulary.size() - 1));
    }
  }

  void encode(std::string_view text, bool first, std::vector<int32_t>& out) const override;

 private:
  void read_texts(Vocabulary& vocabulary);

  std::vector<float> scores_;                          ///< [n_vocab]
  std::vector<std::string> texts_;                     ///< [n_vocab] with U+2581 for spaces
  std::unordered_map<std::string_view, int32_t> ids_;  ///< of the tokens that merges form, by what is in texts_
  int32_t longest_ = 0;                                ///< bytes of the longest text
  std::array<int32_t, 256> byte_ids_;                  ///< -1: none
  int32_t unknown_ = -1;
};

void SentencePiece::read_texts(Vocabulary& vocabulary) {
  texts_.reserve(vocabulary.tokens.size());
  ids_.reserve(vocabulary.tokens.size());
  for (size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    Token& token = vocabulary.tokens[i];
    const std::string where = vocabulary.file + ": token " + std::to_string(i);
    texts_.push_back(token.bytes);
    const std::string& text = texts_.back();
    const int32_t byte = byte_of_name(text);
    if (byte >= 0 && byte_ids_[static_cast<size_t>(byte)] < 0) {
      byte_ids_[static_cast<size_t>(byte)] = static_cast<int32_t>(i);
    }
    // Pieces of any other kind stand for nothing that is written: a text that spells one is not it (llama.cpp, which
    // merges to every token, differs where a vocabulary happens to have the steps to a name).
    const bool is_text = token.kind == TokenKind::normal || token.kind == TokenKind::user_defined;
    if (is_text && byte < 0 && !text.empty()) {
      const auto [other, is_new] = ids_.emplace(text, static_cast<int32_t>(i));
      if (!is_new) fail({where, "a text of its own", "the text of token " + std::to_string(other->second), ""});
      longest_ = std::max(longest_, static_cast<int32_t>(std::min<size_t>(text.size(), INT32_MAX)));
    }
    if (token.kind == TokenKind::normal) token.bytes = replaced(text, kSpace, " ");
    if (token.kind == TokenKind::byte) {
      if (byte < 0) fail({where, "the name of a byte, <0x00> to <0xFF>", "\"" + text + "\"", ""});
      token.bytes.assign(1, static_cast<char>(byte));
    }
  }
}

void SentencePiece::encode(std::string_view text, bool first, std::vector<int32_t>& out) const {
  const std::string escaped =
      replaced(first && space_in_front ? " " + std::string(text) : std::string(text), " ", kSpace);
  if (escaped.size() > INT32_MAX) fail({"text", "at most 2 GiB with its spaces", std::to_string(escaped.size()), ""});
  const auto id_of = [&](int32_t begin, int32_t size) {
    const auto found = size > longest_ ? ids_.end() : ids_.find(std::string_view(escaped).substr(begin, size));
    return found == ids_.end() ? -1 : found->second;
  };
  const auto n = static_cast<int32_t>(escaped.size());
  std::vector<Symbol> symbols;
  for (int32_t begin = 0; begin < n;) {
    const int32_t size = std::min(size_by_lead(escaped[begin]), n - begin),
                  index = static_cast<int32_t>(symbols.size());
    symbols.push_back({begin, size, id_of(begin, size), index - 1, begin + size < n ? index + 1 : -1});
    begin += size;
  }
  merge_best_first(symbols, [&](const Symbol& left, const Symbol& right) -> std::optional<Merge> {
    const int32_t id = id_of(left.begin, left.size + right.size);
    if (id < 0) return std::nullopt;
    return Merge{-scores_[id], id};
  });
  for (const Symbol& symbol : symbols) {
    if (symbol.size == 0) continue;
    if (symbol.id >= 0) {
      out.push_back(symbol.id);
      continue;
    }
    for (const char c : std::string_view(escaped).substr(symbol.begin, symbol.size)) {
      const int32_t byte = byte_ids_[static_cast<unsigned char>(c)];
      if (byte >= 0 || unknown_ >= 0) out.push_back(byte >= 0 ? byte : unknown_);
    }
  }
}

}  // namespace

std::unique_ptr<TextEncoder> make_sentencepiece(const Gguf& file, Vocabulary& vocabulary) {
  return std::make_unique<SentencePiece>(file, vocabulary);
}

}  // namespace reattend
