// Makes characters and stray bytes of tokens drawable, and tells which scripts a font lacks.
#include "viz/session/token_text.h"

#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/utf8.h"
#include "viz/session/scripts.h"

namespace reattend::viz {
namespace {

/// How line ends and tabs are shown.
constexpr const char* kLineEnd = "\u21b5";
constexpr const char* kTab = "\u2192";

/// The character at the start of `bytes` as it is drawn: its text, and how many bytes it takes (1 where there is none).
struct Drawn {
  std::string text;
  size_t length = 1;
};

Drawn first_drawn(std::string_view bytes) {
  const auto byte = static_cast<uint8_t>(bytes[0]);
  if (byte == '\n') return {kLineEnd};
  if (byte == '\t') return {kTab};
  const Utf8Char next = first_utf8_char(bytes);
  if (next.status != Utf8Status::ok || byte < 0x20 || byte == 0x7f) return {fmt::format("\\x{:02X}", byte)};
  return {std::string(bytes.substr(0, next.length)), next.length};
}

}  // namespace

std::string drawable(std::string_view bytes) {
  std::string out;
  for (size_t i = 0; i < bytes.size();) {
    const Drawn next = first_drawn(bytes.substr(i));
    out += next.text;
    i += next.length;
  }
  return out;
}

Excerpt excerpt(std::span<const std::string> tokens, int32_t position, int32_t n) {
  if (position < 0 || position >= static_cast<int32_t>(tokens.size())) return {};
  const int32_t first = std::max(0, position - n);
  const int32_t end = std::min(static_cast<int32_t>(tokens.size()), position + n + 1);
  std::string bytes;
  size_t from = 0, to = 0;  // of the token
  for (int32_t i = first; i < end; ++i) {
    if (i == position) from = bytes.size();
    bytes += tokens[static_cast<size_t>(i)];
    if (i == position) to = bytes.size();
  }
  constexpr size_t kMost = 3;  // bytes that continue a character
  const auto continues = [&](size_t i) { return i < bytes.size() && !begins_character(bytes[i]); };
  size_t begin = 0, last = bytes.size();
  while (first > 0 && begin < std::min(kMost, from) && continues(begin)) ++begin;
  for (size_t i = 0; i < kMost && from > begin && continues(from); ++i) --from;
  for (size_t i = 0; i < kMost && continues(to); ++i) ++to;
  const bool cut = end < static_cast<int32_t>(tokens.size());
  for (size_t i = 1; cut && i <= kMost && i <= last - to; ++i) {
    if (first_utf8_char(std::string_view(bytes).substr(last - i)).status == Utf8Status::incomplete)
      last -= i, i = kMost;
  }
  const std::string_view all = bytes;
  return {drawable(all.substr(begin, from - begin)), drawable(all.substr(from, to - from)),
          drawable(all.substr(to, last - to))};
}

std::vector<MissingGlyphs> missing_glyphs(std::string_view text, const std::function<bool(char32_t)>& has_glyph) {
  std::set<char32_t> seen;
  std::vector<MissingGlyphs> out;
  for (size_t i = 0; i < text.size();) {
    const auto [status, length, code] = first_utf8_char(text.substr(i));
    i += length;
    if (status != Utf8Status::ok || code < 0x80 || joins_characters(code) || !seen.insert(code).second ||
        has_glyph(code)) {
      continue;
    }
    std::string script = script_of(code);
    auto known = std::ranges::find(out, script, &MissingGlyphs::script);
    if (known == out.end()) known = out.insert(out.end(), {std::move(script), {}});
    known->codes.push_back(code);
  }
  return out;
}

std::string in_words(const std::vector<MissingGlyphs>& missing) {
  constexpr size_t kNamed = 3;
  std::vector<std::string> parts;
  for (const auto& [script, codes] : missing) {
    std::vector<std::string> names;
    for (size_t i = 0; i < std::min(kNamed, codes.size()); ++i) {
      names.push_back(fmt::format("U+{:04X}", static_cast<uint32_t>(codes[i])));
    }
    if (codes.size() > kNamed) names.emplace_back("\u2026");
    parts.push_back(fmt::format("{} of {} ({})", codes.size(), script, fmt::join(names, ", ")));
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

}  // namespace reattend::viz
