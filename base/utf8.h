// UTF-8 one character at a time, with what is wrong told apart from what is not complete yet.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace reattend {

enum class Utf8Status : uint8_t {
  ok,
  invalid,     ///< these bytes start no character, whatever follows
  incomplete,  ///< these bytes are the start of a character
};

/// What `text` begins with. Unicode's "maximal subpart" rule: an invalid sequence is as long as it could have been the
/// start of a character, so that a decoder shows one U+FFFD for it.
struct Utf8Char {
  Utf8Status status;
  size_t length;       ///< bytes, at least 1
  char32_t codepoint;  ///< U+FFFD unless ok
};
/// text: at least one byte.
Utf8Char first_utf8_char(std::string_view text);

/// How far the first n characters reach, an invalid or incomplete sequence counting as one; fewer characters where the
/// text ends before.
struct Utf8Prefix {
  size_t bytes;
  int64_t characters;
};
Utf8Prefix first_utf8_chars(std::string_view text, int64_t n);

/// U+FFFD in UTF-8.
inline constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

/// Collects bytes and hands out whole UTF-8 characters only; invalid bytes become U+FFFD.
class Utf8Stream {
 public:
  std::string push(std::string_view bytes);
  std::string finish();

 private:
  std::string pending_;
};

/// A whole text at once: invalid bytes become U+FFFD.
std::string to_utf8(std::string_view bytes);

}  // namespace reattend
