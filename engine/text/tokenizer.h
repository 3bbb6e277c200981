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

class Tokenizer {
 public:
  /// Throws Error for a tokenizer this program does not know, or one whose tables are inconsistent.
  explicit Tokenizer(const Gguf& file);
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;

  int32_t n_vocab() const;
  /// parse_special: text like <|im_end|> becomes that one token instead of being spelled out. No BOS unless the file
  /// asks for it.
  std::vector<int32_t> encode(std::string_view text, bool parse_special) const;
  /// Raw bytes of one token; control tokens give their name with `special`, nothing otherwise.
  std::string piece(int32_t id, bool special = false) const;
  std::string decode(std::span<const int32_t> ids, bool special = false) const;
  bool is_end(int32_t id) const;  ///< end of sequence or of turn
  /// "<|im_start|>user\n...": the model's chat template for known templates; Error names what is not known.
  struct Message {
    std::string role, content;
  };
  std::string chat(std::span<const Message> messages, bool add_generation_prompt) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace reattend
