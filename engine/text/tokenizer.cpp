// Builds the tokenizer that a GGUF file describes, and translates between text and ids.
#include "engine/text/tokenizer.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/ascii.h"
#include "base/error.h"
#include "engine/model/gguf.h"
#include "engine/text/byte_bpe.h"
#include "engine/text/sentencepiece.h"
#include "engine/text/special_tokens.h"
#include "engine/text/vocabulary.h"

namespace reattend {
namespace {

/// A word's positions are 32-bit.
constexpr size_t kLongestText = size_t{1} << 30;

/// Files name one end at most two; models of the same families stop at these as well.
constexpr std::string_view kEndNames[] = {"<|im_end|>",      "<|endoftext|>", "<|eot_id|>", "<|eom_id|>",
                                          "<|end_of_text|>", "<end_of_turn>", "<|end|>"};

std::unique_ptr<TextEncoder> make_encoder(const Gguf& gguf, Vocabulary& vocabulary, const TokenizerOptions& options) {
  const std::string_view model = gguf.string("tokenizer.ggml.model");
  if (model == "gpt2") return make_byte_bpe(gguf, vocabulary, options.pre_tokenizer);
  if (model != "llama") {
    fail({vocabulary.file + ": tokenizer.ggml.model", "gpt2 (byte-level BPE) or llama (SentencePiece)",
          std::string(model), "choose a model with such a tokenizer"});
  }
  if (!options.pre_tokenizer.empty()) {
    fail({"--pre-tokenizer", "a model whose tokenizer cuts words by patterns (gpt2)",
          vocabulary.file + ", whose tokenizer is SentencePiece", "leave it out"});
  }
  return make_sentencepiece(gguf, vocabulary);
}

/// Phi 3's tokenizer takes white space behind its control tokens for a part of them; the files say so nowhere, so that
/// llama.cpp goes by the model's name, too.
bool is_phi3(const Gguf& gguf) {
  const std::string name = ascii_lower(gguf.string_or("general.name", ""));
  return name.find("phi-3") != std::string::npos || name.find("phi3") != std::string::npos;
}

}  // namespace

struct Tokenizer::State {
  Vocabulary vocabulary;
  std::vector<int32_t> ends;
  int32_t bos = -1;  ///< put first; -1: not asked for
  std::unique_ptr<TextEncoder> encoder;
  std::optional<SpecialTokens> specials;
  std::optional<ChatTemplate> chat;

  State(const Gguf& gguf, const TokenizerOptions& options) : vocabulary(gguf) {
    read_ends(gguf);  // before what goes by kinds: it changes some
    encoder = make_encoder(gguf, vocabulary, options);
    if (gguf.boolean_or("tokenizer.ggml.add_bos_token", encoder->bos_by_default)) {
      bos = static_cast<int32_t>(gguf.integer("tokenizer.ggml.bos_token_id", 0, vocabulary.size() - 1));
    }
    specials.emplace(vocabulary, is_phi3(gguf));
    read_template(gguf, options);
  }

  void read_ends(const Gguf& gguf);
  void read_template(const Gguf& gguf, const TokenizerOptions& options);
  void warn_of_missing_markers(const TokenizerOptions& options);
  std::vector<int32_t> encode(std::string_view text, std::span<const MarkedText::Range> marks, bool begins) const;
};

void Tokenizer::State::read_ends(const Gguf& gguf) {
  if (gguf.boolean_or("tokenizer.ggml.add_eos_token", false)) {
    vocabulary.guess("tokenizer.ggml.add_eos_token", "false for a model that goes on with its prompt", "true",
                     "no end token is put behind prompts");
  }
  for (const char* key :
       {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}) {
    if (gguf.has(key)) ends.push_back(static_cast<int32_t>(gguf.integer(key, 0, vocabulary.size() - 1)));
  }
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    Token& token = vocabulary.tokens[id];
    const bool special = token.kind == TokenKind::control || token.kind == TokenKind::user_defined;
    if (!special || std::find(std::begin(kEndNames), std::end(kEndNames), token.bytes) == std::end(kEndNames)) continue;
    ends.push_back(id);
    // Some files call it user-defined: then whoever writes about it would end the turn.
    token.kind = TokenKind::control;
  }
  if (ends.empty()) {
    vocabulary.guess("tokenizer.ggml.eos_token_id", "a token that ends the text", "no such key",
                     "no token is one, so that text always has as many tokens as were asked for");
  }
}

void Tokenizer::State::read_template(const Gguf& gguf, const TokenizerOptions& options) {
  const auto name = [&](const char* key) {
    return gguf.has(key) ? vocabulary.tokens[gguf.integer(key, 0, vocabulary.size() - 1)].bytes : std::string();
  };
  const std::string jinja(options.chat_template.empty() ? gguf.string_or("tokenizer.chat_template", "")
                                                        : std::string_view(options.chat_template));
  if (jinja.empty()) return;
  const bool own = options.chat_template.empty();
  if (!own) warn_of_missing_markers(options);
  chat.emplace(jinja, own ? vocabulary.file + ": tokenizer.chat_template" : options.chat_template_where,
               name("tokenizer.ggml.bos_token_id"), name("tokenizer.ggml.eos_token_id"), vocabulary.protocol_names());
}

/// Without its tokens a format is text that the model has never seen.
void Tokenizer::State::warn_of_missing_markers(const TokenizerOptions& options) {
  std::string missing;
  for (const std::string_view marker : options.chat_template_markers) {
    const bool there = std::any_of(vocabulary.tokens.begin(), vocabulary.tokens.end(),
                                   [&](const Token& token) { return is_named(token) && token.bytes == marker; });
    if (!there) missing += (missing.empty() ? "" : ", ") + std::string(marker);
  }
  if (missing.empty()) return;
  vocabulary.guesses.push_back(to_line({options.chat_template_where, "a vocabulary with its special tokens",
                                        vocabulary.file + ", which lacks " + missing,
                                        "they are spelled out, which the model has not been trained on"}));
}

std::vector<int32_t> Tokenizer::State::encode(std::string_view text, std::span<const MarkedText::Range> marks,
                                              bool begins) const {
  if (text.size() > kLongestText) fail({"text", "at most 1 GiB", std::to_string(text.size()) + " bytes", ""});
  std::vector<int32_t> out;
  for (const SpecialTokens::Part& part : specials->split(text, marks)) {
    if (part.id >= 0) {
      out.push_back(part.id);
    } else {
      encoder->encode(part.text, begins, out);
    }
    begins = part.id >= 0;
  }
  return out;
}

Tokenizer::Tokenizer(const Gguf& file, const TokenizerOptions& options)
    : state_(std::make_unique<State>(file, options)) {}
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;

int32_t Tokenizer::n_vocab() const {
  return state_->vocabulary.size();
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool parse_special) const {
  const MarkedText::Range all = {0, text.size()};
  return state_->encode(text, std::span(&all, parse_special ? 1 : 0), true);
}

std::vector<int32_t> Tokenizer::encode(const MarkedText& text) const {
  return state_->encode(text.text, text.marks, true);
}

std::vector<int32_t> Tokenizer::encode_on(std::string_view text, bool parse_special) const {
  const MarkedText::Range all = {0, text.size()};
  return state_->encode(text, std::span(&all, parse_special ? 1 : 0), false);
}

bool Tokenizer::add_bos(std::vector<int32_t>& ids) const {
  if (state_->bos < 0) return true;
  if (!ids.empty() && ids.front() == state_->bos) return false;
  ids.insert(ids.begin(), state_->bos);
  return true;
}

const std::vector<std::string>& Tokenizer::guesses() const {
  return state_->vocabulary.guesses;
}

std::string Tokenizer::piece(int32_t id, bool special) const {
  if (id < 0 || id >= n_vocab()) {
    fail({"token id", "0 to " + std::to_string(n_vocab() - 1), std::to_string(id), ""});
  }
  const Token& token = state_->vocabulary.tokens[id];
  const bool is_text = token.kind == TokenKind::normal || token.kind == TokenKind::user_defined ||
                       (token.kind == TokenKind::byte && token.bytes.size() == 1);
  return special || is_text ? token.bytes : std::string();
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool special) const {
  std::string out;
  for (size_t i = 0; i < ids.size(); ++i) {
    const std::string text = piece(ids[i], special);
    const bool put_in_front = i == 0 && state_->encoder->space_in_front && text.starts_with(' ');
    out.append(text, put_in_front ? 1 : 0);
  }
  return out;
}

bool Tokenizer::is_end(int32_t id) const {
  return std::find(state_->ends.begin(), state_->ends.end(), id) != state_->ends.end();
}

bool Tokenizer::knows_every_byte() const {
  return state_->encoder->knows_every_byte;
}

bool Tokenizer::has_chat() const {
  return state_->chat.has_value();
}

MarkedText Tokenizer::chat(std::span<const Message> messages, bool add_generation_prompt) const {
  if (!state_->chat) {
    fail({state_->vocabulary.file + ": tokenizer.chat_template", "a chat template", "none",
          "give --raw: the prompt's text is then continued as it stands; or give --chat-template FILE|NAME"});
  }
  return state_->chat->render(messages, add_generation_prompt);
}

std::string Tokenizer::names_put_together(const MarkedText& chat, std::span<const Message> messages) const {
  std::vector<int32_t> surplus(state_->vocabulary.tokens.size());
  const MarkedText::Range all = {0, chat.text.size()};
  for (const auto& [text, id] : state_->specials->split(chat.text, std::span(&all, 1))) {
    if (id >= 0) ++surplus[static_cast<size_t>(id)];
  }
  for (const auto& [text, id] : state_->specials->split(chat.text, chat.marks)) {
    if (id >= 0) --surplus[static_cast<size_t>(id)];
  }
  std::vector<std::string> said;  // without its case: the template may have changed that
  for (const Message& message : messages) said.push_back(ascii_lower(message.content));
  std::string names;
  for (size_t id = 0; id < surplus.size(); ++id) {
    if (surplus[id] <= 0) continue;  // nearly all: a text is looked through for the few that are left
    const std::string& name = state_->vocabulary.tokens[id].bytes;
    const bool is_users = std::any_of(said.begin(), said.end(), [lower = ascii_lower(name)](const std::string& each) {
      return each.find(lower) != std::string::npos;
    });
    if (!is_users) names += (names.empty() ? "" : ", ") + name;
  }
  if (names.empty()) return {};
  return to_line({state_->chat->where(), "special tokens that the template spells out whole", names + ", put together",
                  "they are text, which the model has not been trained on"});
}

}  // namespace reattend
