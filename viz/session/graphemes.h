// Characters as a reader counts them: a letter with its marks, a syllable, an emoji of several code points.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace reattend::viz {

/// Bytes of the first extended grapheme cluster (Unicode's annex 29) of UTF-8; 1 where the bytes begin no character.
/// The conjuncts of Indic scripts count as the letters that they are made of, for they are not drawn joined.
size_t first_grapheme(std::string_view bytes);

/// What lines are broken by.
enum class TextKind : uint8_t {
  space,
  line_end,
  word,     ///< of a script that puts spaces between words: not to be broken
  anywhere  ///< of one that doesn't: a line may begin with it
};
TextKind text_kind(char32_t code);
/// Whether the character is written from right to left.
bool is_right_to_left(char32_t code);
/// Of a character in UTF-8: the bracket that faces the other way, or the character itself where it is none.
std::string_view mirrored(std::string_view character);

}  // namespace reattend::viz
