// Decodes UTF-8 strictly, so that whatever a file holds can be drawn.
#include "viz/session/token_text.h"

#include <cstdint>

#include <fmt/format.h>

namespace reattend::viz {
namespace {

/// Bytes of the well-formed character at the start of `bytes` (no overlong forms, no surrogates), or 0.
size_t character_length(std::string_view bytes) {
  const auto at = [bytes](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  const uint8_t lead = at(0);
  const size_t length = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
  if (length > bytes.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((at(i) & 0xc0) != 0x80) return 0;
  }
  if (length >= 3) {
    const uint8_t second = at(1);
    if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) || (lead == 0xf0 && second < 0x90) ||
        (lead == 0xf4 && second > 0x8f)) {
      return 0;
    }
  }
  return length;
}

}  // namespace

std::string visible(std::string_view bytes) {
  std::string out;
  for (size_t i = 0; i < bytes.size();) {
    const auto byte = static_cast<uint8_t>(bytes[i]);
    const size_t length = character_length(bytes.substr(i));
    if (byte == '\n') {
      out += "\u21b5";
    } else if (byte == '\t') {
      out += "\u2192";
    } else if (length == 0 || byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02X}", byte);
    } else {
      out += bytes.substr(i, length);
    }
    i += length == 0 ? 1 : length;
  }
  return out;
}

}  // namespace reattend::viz
