// Text to token ids and back, by the tokenizer that a GGUF file carries: byte-level BPE or SentencePiece.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/text/chat_template.h"
#include "engine/text/marked_text.h"

namespace reattend {

class Gguf;

/// What takes the place of the file's own; empty: nothing.
struct TokenizerOptions {
  std::string pre_tokenizer;                              ///< a name of tokenizer.ggml.pre
  std::string chat_template;                              ///< Jinja
  std::string chat_template_where = "--chat-template";    ///< its place, for messages
  std::vector<std::string_view> chat_template_markers{};  ///< [n] tokens that the vocabulary should have for it
};

class Tokenizer {
 public:
  /// Throws Error for a tokenizer this program does not know, or one whose tables are inconsistent.
  explicit Tokenizer(const Gguf& file, const TokenizerOptions& options = {});
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;

  /// What the file leaves open and this program assumes: one line each, fit to be shown to a user.
  const std::vector<std::string>& guesses() const;

  int32_t n_vocab() const;
  /// The ids of the text alone, without a BOS token. parse_special: text like <|im_end|> becomes that one token instead
  /// of being spelled out; tokens of the kind "user-defined" are found either way, for they are part of the language.
  std::vector<int32_t> encode(std::string_view text, bool parse_special) const;
  /// The same with special tokens in the marks only. Words may reach across the edges of a mark.
  std::vector<int32_t> encode(const MarkedText& text) const;
  /// The ids of a text that goes on behind another one: no space is put in front, where the vocabulary wants one.
  std::vector<int32_t> encode_on(std::string_view text, bool parse_special) const;
  /// Where the file asks for a BOS token at the beginning of a prompt: puts it there, unless the ids begin with it.
  /// False: they do, so that nothing was added.
  bool add_bos(std::vector<int32_t>& ids) const;
  /// Raw bytes of one token; control tokens give their name with `special`, nothing otherwise.
  std::string piece(int32_t id, bool special = false) const;
  /// The text of ids that begin a text: one space that encode() put in front is taken off again.
  std::string decode(std::span<const int32_t> ids, bool special = false) const;
  bool is_end(int32_t id) const;  ///< end of sequence or of turn
  /// Whether the vocabulary has tokens for all bytes, so that no part of any text is lost.
  bool knows_every_byte() const;
  using Message = ChatMessage;
  /// Whether there is a chat template: the file's own, or the one of the options.
  bool has_chat() const;
  /// "<|im_start|>user\n...": the messages in the chat template, in which roles and contents are plain; Error where
  /// there is none, or where it does not render them.
  MarkedText chat(std::span<const Message> messages, bool add_generation_prompt) const;
  /// Names of special tokens that a chat of these messages spells out though none of them does, in upper or lower case:
  /// the template puts them together in a way that is not followed, so that they are text. One line for a user, empty
  /// where there are none.
  std::string names_put_together(const MarkedText& chat, std::span<const Message> messages) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace reattend
