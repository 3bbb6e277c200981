// Tokens as text on a screen: raw bytes made visible, characters that lie across tokens put together.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace reattend::viz {

/// Valid UTF-8 for any bytes: line breaks as a return arrow, tabs as an arrow, other control characters and bytes that
/// are no character (tokens may hold half of one) as \xNN.
std::string drawable(std::string_view bytes);

/// A token with what stands beside it, as drawable() has it; a character that lies across tokens belongs to all of
/// them.
struct Excerpt {
  std::string before, own, after;
};
/// `n` tokens on each side; halves of characters at the ends are left out.
Excerpt excerpt(std::span<const std::string> tokens, int32_t position, int32_t n);

/// Where a token ends in its group's text: `share` of the way through the character at [from, to), or at `to` with 1.
struct TokenEnd {
  size_t from = 0, to = 0;
  double share = 1;
};

/// Tokens that are one piece of text: mostly one, and those across which a character lies.
struct TokenGroup {
  std::string text;            ///< drawable()
  std::vector<TokenEnd> ends;  ///< of each token
};

/// All tokens in order. Byte-level vocabularies have no token for most characters beyond Latin and spell them in two
/// to four tokens.
std::vector<TokenGroup> token_groups(std::span<const std::string> tokens);

/// Names of the scripts with characters in `groups` for which the font has no picture, each once, in order of
/// appearance.
std::vector<std::string> scripts_without_glyphs(std::span<const TokenGroup> groups,
                                                const std::function<bool(char32_t)>& has_glyph);

}  // namespace reattend::viz
