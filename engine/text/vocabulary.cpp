// Reads tokens and their types.
#include "engine/text/vocabulary.h"

#include "base/error.h"
#include "engine/model/gguf.h"

namespace reattend {

Vocabulary::Vocabulary(const Gguf& gguf) : file(gguf.name()) {
  const auto texts = gguf.strings("tokenizer.ggml.tokens");
  if (texts.empty() || texts.size() > INT32_MAX) {
    fail({file + ": tokenizer.ggml.tokens", "1 to 2147483647 tokens", std::to_string(texts.size()), ""});
  }
  std::vector<int64_t> kinds(texts.size(), static_cast<int64_t>(TokenKind::normal));
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
  tokens.reserve(texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    if (kinds[i] < static_cast<int64_t>(TokenKind::normal) || kinds[i] > static_cast<int64_t>(TokenKind::byte)) {
      fail({file + ": token " + std::to_string(i), "a type from 1 to 6", std::to_string(kinds[i]), ""});
    }
    tokens.push_back({static_cast<TokenKind>(kinds[i]), std::string(texts[i])});
  }
}

std::vector<std::string> Vocabulary::protocol_names() const {
  std::vector<std::string> names;
  for (const Token& token : tokens) {
    if (is_protocol(token) && !token.bytes.empty()) names.push_back(token.bytes);
  }
  return names;
}

void Vocabulary::guess(const char* key, const char* expected, const char* got, const char* assumed) {
  guesses.push_back(to_line({file + ": " + key, expected, got, assumed}));
}

}  // namespace reattend
