// Builds the byte-level BPE tokenizer that a GGUF file describes, and translates between text and ids.
#include "engine/text/tokenizer.h"

#include <algorithm>
#include <array>
#include <optional>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/utf8.h"
#include "engine/model/gguf.h"
#include "engine/text/bpe.h"
#include "engine/text/chat_template.h"
#include "engine/text/pretokenizer.h"

namespace reattend {
namespace {

/// Kinds of tokens; the numbers are those of tokenizer.ggml.token_type.
enum class Kind : uint8_t { normal = 1, unknown, control, user_defined, unused, byte };

/// A word's positions are 32-bit.
constexpr size_t kLongestText = size_t{1} << 30;

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

}  // namespace

struct Tokenizer::State {
  struct Token {
    Kind kind;
    std::string bytes;  ///< of normal tokens; the name of the others
  };
  std::string file;
  std::vector<Token> tokens;                            ///< [n_vocab]
  std::unordered_map<std::string_view, int32_t> words;  ///< normal tokens by their bytes
  std::vector<int32_t> specials;                        ///< tokens matched in the text before merging, longest first
  std::vector<int32_t> ends;
  BytePairs pairs{{}};
  std::optional<PreTokenizer> pre_tokenizer;
  bool whole_words = false;
  int32_t bos = -1;  ///< put first; -1: not asked for
  std::vector<std::string> guesses;
  bool has_template = false;
  std::optional<ChatMl> chatml;

  explicit State(const Gguf& gguf) : file(gguf.name()) {
    const std::string_view model = gguf.string("tokenizer.ggml.model");
    if (model != "gpt2") {
      fail({file + ": tokenizer.ggml.model", "gpt2 (byte-level BPE)", std::string(model),
            "choose a model with such a tokenizer"});
    }
    const PreTokenizerKind& kind =
        find_pre_tokenizer(gguf.string_or("tokenizer.ggml.pre", "default"), file + ": tokenizer.ggml.pre");
    if (!gguf.has("tokenizer.ggml.pre")) {
      guess("tokenizer.ggml.pre", "the name of a pre-tokenizer", "no such key",
            "\"default\" is assumed and tokens may be wrong: convert the model with a current converter");
    }
    pre_tokenizer.emplace(kind);
    whole_words = kind.whole_words;
    read_tokens(gguf);
    read_merges(gguf);
    read_special_ids(gguf, kind.bos);
    has_template = gguf.has("tokenizer.chat_template");
    if (has_template) chatml = recognise_chatml(gguf.string("tokenizer.chat_template"));
  }

  void guess(const char* key, const char* expected, const char* got, const char* assumed) {
    guesses.push_back(to_line({file + ": " + key, expected, got, assumed}));
  }
  void read_tokens(const Gguf& gguf);
  void read_merges(const Gguf& gguf);
  void read_special_ids(const Gguf& gguf, bool bos_by_default);
  void encode_words(std::string_view text, std::vector<int32_t>& out) const;
  std::vector<int32_t> encode(std::string_view text, std::span<const MarkedText::Range> marks) const;
};

void Tokenizer::State::read_tokens(const Gguf& gguf) {
  const auto texts = gguf.strings("tokenizer.ggml.tokens");
  if (texts.empty() || texts.size() > INT32_MAX) {
    fail({file + ": tokenizer.ggml.tokens", "1 to 2147483647 tokens", std::to_string(texts.size()), ""});
  }
  std::vector<int64_t> kinds(texts.size(), static_cast<int64_t>(Kind::normal));
  if (gguf.has("tokenizer.ggml.token_type")) {
    kinds = gguf.integers("tokenizer.ggml.token_type");
  } else {
    guess("tokenizer.ggml.token_type", "the tokens' types", "no such key",
          "every token is taken as text, none as a special token");
  }
  if (kinds.size() != texts.size()) {
    fail({file + ": tokenizer.ggml.token_type", std::to_string(texts.size()) + " types, one a token",
          std::to_string(kinds.size()), ""});
  }
  tokens.reserve(texts.size());  // words holds views of the tokens' bytes: they must not move
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string where = file + ": token " + std::to_string(i);
    if (kinds[i] < static_cast<int64_t>(Kind::normal) || kinds[i] > static_cast<int64_t>(Kind::byte)) {
      fail({where, "a type from 1 to 6", std::to_string(kinds[i]), ""});
    }
    const auto kind = static_cast<Kind>(kinds[i]);
    const auto id = static_cast<int32_t>(i);
    if (kind != Kind::normal) {
      tokens.push_back({kind, std::string(texts[i])});
      const bool matched = kind == Kind::control || kind == Kind::user_defined || kind == Kind::unknown;
      if (matched && !texts[i].empty()) specials.push_back(id);
      continue;
    }
    auto bytes = bytes_of_token(texts[i]);
    if (!bytes) {
      fail({where, "characters that stand for bytes", "\"" + std::string(texts[i]) + "\"",
            "this is no byte-level vocabulary"});
    }
    tokens.push_back({kind, std::move(*bytes)});
    const auto [other, is_new] = words.emplace(tokens.back().bytes, id);
    if (!is_new) fail({where, "a text of its own", "the text of token " + std::to_string(other->second), ""});
  }
  // llama.cpp looks for the longest first, so that a name inside another one does not cut it.
  std::stable_sort(specials.begin(), specials.end(),
                   [this](int32_t a, int32_t b) { return tokens[a].bytes.size() > tokens[b].bytes.size(); });
  std::vector<int32_t> byte_ids(256, -1);
  for (int b = 0; b < 256; ++b) {
    const char byte = static_cast<char>(b);
    const auto found = words.find(std::string_view(&byte, 1));
    if (found != words.end()) byte_ids[b] = found->second;
  }
  pairs = BytePairs(std::move(byte_ids));
}

void Tokenizer::State::read_merges(const Gguf& gguf) {
  const auto merges = gguf.strings("tokenizer.ggml.merges");
  for (size_t i = 0; i < merges.size(); ++i) {
    // The texts of tokens hold no blanks: byte 32 is written as another character.
    const size_t blank = merges[i].find(' ');
    const auto id_of = [&](const std::string& bytes) {
      const auto found = words.find(bytes);
      return found == words.end() ? -1 : found->second;
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
    pairs.add(left_id, right_id, merged_id);
  }
}

void Tokenizer::State::read_special_ids(const Gguf& gguf, bool bos_by_default) {
  const auto last = static_cast<int64_t>(tokens.size()) - 1;
  if (gguf.boolean_or("tokenizer.ggml.add_bos_token", bos_by_default)) {
    bos = static_cast<int32_t>(gguf.integer("tokenizer.ggml.bos_token_id", 0, last));
  }
  if (gguf.boolean_or("tokenizer.ggml.add_eos_token", false)) {
    guess("tokenizer.ggml.add_eos_token", "false for a model that goes on with its prompt", "true",
          "no end token is put behind prompts");
  }
  for (const char* key :
       {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}) {
    if (gguf.has(key)) ends.push_back(static_cast<int32_t>(gguf.integer(key, 0, last)));
  }
  // Files name one end at most two; models of the same families stop at these as well.
  for (const int32_t id : specials) {
    for (const std::string_view name : {"<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>"}) {
      if (tokens[id].bytes == name) ends.push_back(id);
    }
  }
  if (ends.empty()) {
    guess("tokenizer.ggml.eos_token_id", "a token that ends the text", "no such key",
          "no token is one, so that text always has as many tokens as were asked for");
  }
}

void Tokenizer::State::encode_words(std::string_view text, std::vector<int32_t>& out) const {
  for (const std::string_view word : pre_tokenizer->split(text)) {
    const auto whole = whole_words ? words.find(word) : words.end();
    if (whole != words.end()) {
      out.push_back(whole->second);
    } else {
      pairs.encode(word, out);
    }
  }
}

Tokenizer::Tokenizer(const Gguf& file) : state_(std::make_unique<State>(file)) {}
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;

int32_t Tokenizer::n_vocab() const {
  return static_cast<int32_t>(state_->tokens.size());
}

std::vector<int32_t> Tokenizer::State::encode(std::string_view text, std::span<const MarkedText::Range> marks) const {
  if (text.size() > kLongestText) fail({"text", "at most 1 GiB", std::to_string(text.size()) + " bytes", ""});
  const auto marked = [&](size_t begin, size_t end) {
    const auto next = std::upper_bound(marks.begin(), marks.end(), begin,
                                       [](size_t at, const MarkedText::Range& mark) { return at < mark.begin; });
    return next != marks.begin() && end <= std::prev(next)->end;
  };
  /// Text that is still to be encoded, or (id >= 0) a token that was found by its name.
  struct Part {
    std::string_view text;
    int32_t id;
  };
  std::vector<Part> parts = {{text, -1}}, next;
  for (const int32_t id : specials) {
    const Token& token = tokens[id];
    // User-defined tokens are part of the language, the others of the protocol around it.
    const bool everywhere = token.kind == Kind::user_defined;
    if (!everywhere && marks.empty()) continue;
    next.clear();
    for (const Part& part : parts) {
      std::string_view rest = part.text;
      for (size_t from = 0, at; part.id < 0 && (at = rest.find(token.bytes, from)) != std::string_view::npos;) {
        const auto begin = static_cast<size_t>(rest.data() - text.data()) + at;
        if (!everywhere && !marked(begin, begin + token.bytes.size())) {
          from = at + 1;
          continue;
        }
        if (at > 0) next.push_back({rest.substr(0, at), -1});
        next.push_back({{}, id});
        rest.remove_prefix(at + token.bytes.size());
        from = 0;
      }
      if (part.id >= 0 || !rest.empty()) next.push_back({rest, part.id});
    }
    parts.swap(next);
  }
  std::vector<int32_t> out;
  for (const Part& part : parts) {
    if (part.id >= 0) {
      out.push_back(part.id);
    } else {
      encode_words(part.text, out);
    }
  }
  return out;
}

void MarkedText::add_marks(std::string_view more) {
  if (more.empty()) return;
  if (!marks.empty() && marks.back().end == text.size()) {
    marks.back().end += more.size();
  } else {
    marks.push_back({text.size(), text.size() + more.size()});
  }
  text += more;
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool parse_special) const {
  const MarkedText::Range all = {0, text.size()};
  return state_->encode(text, std::span(&all, parse_special ? 1 : 0));
}

std::vector<int32_t> Tokenizer::encode(const MarkedText& text) const {
  return state_->encode(text.text, text.marks);
}

bool Tokenizer::add_bos(std::vector<int32_t>& ids) const {
  if (state_->bos < 0) return true;
  if (!ids.empty() && ids.front() == state_->bos) return false;
  ids.insert(ids.begin(), state_->bos);
  return true;
}

const std::vector<std::string>& Tokenizer::guesses() const {
  return state_->guesses;
}

std::string Tokenizer::piece(int32_t id, bool special) const {
  if (id < 0 || id >= n_vocab()) {
    fail({"token id", "0 to " + std::to_string(n_vocab() - 1), std::to_string(id), ""});
  }
  const State::Token& token = state_->tokens[id];
  return special || token.kind == Kind::normal || token.kind == Kind::user_defined ? token.bytes : std::string();
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool special) const {
  std::string out;
  for (const int32_t id : ids) out += piece(id, special);
  return out;
}

bool Tokenizer::is_end(int32_t id) const {
  return std::find(state_->ends.begin(), state_->ends.end(), id) != state_->ends.end();
}

bool Tokenizer::has_chat() const {
  return state_->chatml.has_value();
}

MarkedText Tokenizer::chat(std::span<const Message> messages, bool add_generation_prompt) const {
  if (!state_->chatml) {
    fail({state_->file + ": tokenizer.chat_template", "a ChatML template as of SmolLM2 or Qwen2",
          state_->has_template ? "another template" : "none",
          "give --raw: the prompt's text is then continued as it stands, without a template"});
  }
  return state_->chatml->render(messages, add_generation_prompt);
}

}  // namespace reattend
