// Text to token ids and back: the byte-level BPE that a GGUF file carries.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace reattend {

class Gguf;

/// A text some of which is a template's: only there do names of special tokens stand for the tokens. Elsewhere, in what
/// a user wrote, they are text like any other.
struct MarkedText {
  struct Range {
    size_t begin, end;  ///< bytes
  };
  std::string text;
  std::vector<Range> marks;  ///< in order, not touching

  void add_marks(std::string_view more);
  void add_plain(std::string_view more) { text += more; }
};

class Tokenizer {
 public:
  /// Throws Error for a tokenizer this program does not know, or one whose tables are inconsistent.
  explicit Tokenizer(const Gguf& file);
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
  /// Where the file asks for a BOS token at the beginning of a prompt: puts it there, unless the ids begin with it.
  /// False: they do, so that nothing was added.
  bool add_bos(std::vector<int32_t>& ids) const;
  /// Raw bytes of one token; control tokens give their name with `special`, nothing otherwise.
  std::string piece(int32_t id, bool special = false) const;
  std::string decode(std::span<const int32_t> ids, bool special = false) const;
  bool is_end(int32_t id) const;  ///< end of sequence or of turn
  struct Message {
    std::string role, content;
  };
  /// Whether chat() knows the file's template.
  bool has_chat() const;
  /// "<|im_start|>user\n...": the model's chat template for known templates, in which roles and contents are plain;
  /// Error names what is not known.
  MarkedText chat(std::span<const Message> messages, bool add_generation_prompt) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace reattend
