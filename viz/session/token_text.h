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

/// Characters of a script for which a font has no picture.
struct MissingGlyphs {
  std::string script;
  std::vector<char32_t> codes;  ///< each once, in order of appearance
};
/// Of a text, in order of appearance. Bytes that are no character are drawn as numbers and lack nothing.
std::vector<MissingGlyphs> missing_glyphs(std::string_view text, const std::function<bool(char32_t)>& has_glyph);
/// "2 of East Asian punctuation (U+3008, U+3009), 31 of Thai (U+0E01, U+0E02, …)"; empty where none is missing.
std::string in_words(const std::vector<MissingGlyphs>& missing);

}  // namespace reattend::viz
