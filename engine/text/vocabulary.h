// The table of tokens that a model file carries, before any rule of how text is cut into them.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace reattend {

class Gguf;

/// Kinds of tokens; the numbers are those of tokenizer.ggml.token_type.
enum class TokenKind : uint8_t { normal = 1, unknown, control, user_defined, unused, byte };

struct Token {
  TokenKind kind;
  std::string bytes;  ///< of normal and byte tokens the text they stand for; the name of the others
};

/// Whether the token belongs to the protocol around texts: it becomes part of one by a template, not by what it spells.
inline bool is_protocol(const Token& token) {
  return token.kind == TokenKind::control || token.kind == TokenKind::unknown;
}

/// Whether the token stands in texts by its name, which is cut out of them before anything is merged.
inline bool is_named(const Token& token) {
  return (is_protocol(token) || token.kind == TokenKind::user_defined) && !token.bytes.empty();
}

struct Vocabulary {
  std::string file;                  ///< for messages
  std::vector<Token> tokens;         ///< [n_vocab]; `bytes` are the texts in the file until an encoder has read them
  std::vector<std::string> guesses;  ///< what the file leaves open, one line each

  /// Throws Error for a table without tokens, with other types than tokens, or with a type that there is not.
  explicit Vocabulary(const Gguf& file);

  std::vector<std::string> protocol_names() const;  ///< [n] of the tokens that is_protocol() and that have names
  int32_t size() const { return static_cast<int32_t>(tokens.size()); }
  void guess(const char* key, const char* expected, const char* got, const char* assumed);
};

/// How text becomes tokens. Safe to use from several threads at once.
class TextEncoder {
 public:
  TextEncoder() = default;
  TextEncoder(const TextEncoder&) = delete;
  TextEncoder& operator=(const TextEncoder&) = delete;
  virtual ~TextEncoder() = default;

  /// Appends the ids of `text`, a piece without names of special tokens. `first`: it begins the whole text or follows a
  /// special token.
  virtual void encode(std::string_view text, bool first, std::vector<int32_t>& out) const = 0;

  bool bos_by_default = false;    ///< a BOS token comes first unless the file says otherwise
  bool space_in_front = false;    ///< a space is put before every piece that is `first`
  bool knows_every_byte = false;  ///< there is a token for each of the 256 bytes
};

}  // namespace reattend
