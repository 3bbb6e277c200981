// Tokens as text on a screen: raw bytes made visible, a token with its neighbours.
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

/// Names of the scripts with characters in the text for which the font has no picture, each once, in order of
/// appearance. Bytes that are no character are drawn as numbers and lack nothing.
std::vector<std::string> scripts_without_glyphs(std::string_view text, const std::function<bool(char32_t)>& has_glyph);

}  // namespace reattend::viz
