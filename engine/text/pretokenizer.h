// Cuts text into the words that byte-pair merges never cross: the patterns that tokenizer.ggml.pre names.
#pragma once
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace reattend {

/// One row of the table of known pre-tokenizers. Patterns are applied in turn, each to the pieces the one before left;
/// what a pattern matches and what lies between its matches become pieces of their own (the behaviour of llama.cpp).
struct PreTokenizerKind {
  std::span<const std::string_view> names;  ///< values of tokenizer.ggml.pre
  std::span<const std::string_view> patterns;
  bool whole_words;  ///< a word that is a token as a whole is taken as it is, without merging
  bool bos;          ///< a BOS token comes first unless the file says otherwise
};

/// Null where there is none of that name.
const PreTokenizerKind* find_pre_tokenizer(std::string_view name);
/// The first name of each kind, with commas.
std::string known_pre_tokenizers();

/// Compiled patterns. Safe to use from several threads at once.
class PreTokenizer {
 public:
  explicit PreTokenizer(const PreTokenizerKind& kind);
  ~PreTokenizer();
  PreTokenizer(PreTokenizer&&) noexcept;

  /// Views into `text` in order, together all of it. Invalid UTF-8 becomes words of its own.
  std::vector<std::string_view> split(std::string_view text) const;

 private:
  struct Pattern;
  std::vector<Pattern> patterns_;
};

}  // namespace reattend
