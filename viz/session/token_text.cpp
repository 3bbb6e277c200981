// Decodes UTF-8 strictly, so that whatever a file holds can be drawn.
#include "viz/session/token_text.h"

#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "viz/session/scripts.h"

namespace reattend::viz {
namespace {

/// How line ends and tabs are shown: marks of the window's, not of the text's scripts.
constexpr const char* kLineEnd = "\u21b5";
constexpr const char* kTab = "\u2192";
bool is_own_mark(char32_t code) {
  return code == 0x21B5 || code == 0x2192;
}

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

/// The character at the start of `bytes` made visible: its text, and how many bytes it takes (1 where there is none).
struct Visible {
  std::string text;
  size_t length = 1;
};

Visible first_visible(std::string_view bytes) {
  const auto byte = static_cast<uint8_t>(bytes[0]);
  if (byte == '\n') return {kLineEnd};
  if (byte == '\t') return {kTab};
  const size_t length = character_length(bytes);
  if (length == 0 || byte < 0x20 || byte == 0x7f) return {fmt::format("\\x{:02X}", byte)};
  return {std::string(bytes.substr(0, length)), length};
}

/// The code of a well-formed character of `length` bytes.
char32_t code_of(std::string_view bytes, size_t length) {
  constexpr uint8_t kLeadBits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
  char32_t code = static_cast<uint8_t>(bytes[0]) & kLeadBits[length];
  for (size_t i = 1; i < length; ++i) code = code << 6 | (static_cast<uint8_t>(bytes[i]) & 0x3f);
  return code;
}

}  // namespace

std::string visible(std::string_view bytes) {
  std::string out;
  for (size_t i = 0; i < bytes.size();) {
    const Visible next = first_visible(bytes.substr(i));
    out += next.text;
    i += next.length;
  }
  return out;
}

std::vector<TokenGroup> token_groups(std::span<const std::string> tokens) {
  std::string bytes;
  for (const std::string& token : tokens) bytes += token;
  std::vector<TokenGroup> groups;
  TokenGroup group;
  size_t token_end = 0, begin = 0, end = 0;  // in bytes: of the token, and the last character of `group`
  size_t from = 0;                           // where that character begins in the group's text
  for (const std::string& token : tokens) {
    token_end += token.size();
    while (end < token_end) {
      const Visible next = first_visible(std::string_view(bytes).substr(end));
      from = group.text.size();
      group.text += next.text;
      begin = end;
      end += next.length;
    }
    const double share =
        end == token_end ? 1 : static_cast<double>(token_end - begin) / static_cast<double>(end - begin);
    group.ends.push_back({from, group.text.size(), share});
    if (end > token_end) continue;
    groups.push_back(std::exchange(group, {}));
    from = 0;
  }
  return groups;
}

std::vector<std::string> scripts_without_glyphs(std::span<const TokenGroup> groups,
                                                const std::function<bool(char32_t)>& has_glyph) {
  std::set<char32_t> seen;
  std::vector<std::string> scripts;
  for (const TokenGroup& group : groups) {
    const std::string_view text = group.text;
    for (size_t i = 0; i < text.size();) {
      const size_t length = character_length(text.substr(i));
      const char32_t code = code_of(text.substr(i), length);
      i += length;
      if (code < 0x80 || is_own_mark(code) || joins_characters(code) || !seen.insert(code).second || has_glyph(code))
        continue;
      std::string script = script_of(code);
      if (std::find(scripts.begin(), scripts.end(), script) == scripts.end()) scripts.push_back(std::move(script));
    }
  }
  return scripts;
}

}  // namespace reattend::viz
