// Decodes UTF-8 by the well-formed byte sequences of the Unicode standard (table 3-7); the stream cuts text only
// between characters.
#include "base/utf8.h"

#include <algorithm>

#include <fmt/format.h>

namespace reattend {

Utf8Char first_utf8_char(std::string_view text) {
  constexpr char32_t kBad = 0xFFFD;
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return {Utf8Status::ok, 1, lead};
  const size_t length = lead >= 0xC2 && lead <= 0xDF   ? 2
                        : (lead & 0xF0) == 0xE0        ? 3
                        : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                       : 0;
  if (length == 0) return {Utf8Status::invalid, 1, kBad};
  // The second byte has a narrower range after some leads: no overlong forms, no surrogates, nothing beyond U+10FFFF.
  const unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  char32_t codepoint = lead & (0x7FU >> length);
  for (size_t i = 1; i < length; ++i) {
    if (i == text.size()) return {Utf8Status::incomplete, i, kBad};
    if (byte(i) < (i == 1 ? low : 0x80) || byte(i) > (i == 1 ? high : 0xBF)) return {Utf8Status::invalid, i, kBad};
    codepoint = codepoint << 6 | (byte(i) & 0x3FU);
  }
  return {Utf8Status::ok, length, codepoint};
}

Utf8Prefix first_utf8_chars(std::string_view text, int64_t n) {
  Utf8Prefix out = {0, 0};
  while (out.bytes < text.size() && out.characters < n) {
    out.bytes += first_utf8_char(text.substr(out.bytes)).length;
    ++out.characters;
  }
  return out;
}

std::string Utf8Stream::push(std::string_view bytes) {
  pending_ += bytes;
  std::string out;
  size_t at = 0;
  while (at < pending_.size()) {
    const std::string_view rest = std::string_view(pending_).substr(at);
    const Utf8Char next = first_utf8_char(rest);
    if (next.status == Utf8Status::incomplete) break;
    out += next.status == Utf8Status::ok ? rest.substr(0, next.length) : kReplacement;
    at += next.length;
  }
  pending_.erase(0, at);
  return out;
}

std::string Utf8Stream::finish() {
  const bool cut = !pending_.empty();
  pending_.clear();
  return std::string(cut ? kReplacement : "");
}

std::string to_utf8(std::string_view bytes) {
  Utf8Stream characters;
  const std::string text = characters.push(bytes);
  return text + characters.finish();
}

size_t character_count(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), begins_character));
}

std::string visible(std::string_view bytes) {
  std::string out;
  for (const char c : to_utf8(bytes)) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\r') {
      out += "\\r";
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace reattend
