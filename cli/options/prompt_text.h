// Texts that become tokens: whose bytes they are, and what in them a model will not read as their author does.
#pragma once
#include <cstdint>
#include <span>
#include <string>

#include "engine/text/tokenizer.h"

namespace reattend::cli {

/// The text as a model should get it: without a byte order mark. Every other byte stays as it is, also where it is no
/// UTF-8. What was taken off or looks wrong is said on stderr; Error for UTF-16 and UTF-32. `where` names the text.
std::string take_text(std::string bytes, const std::string& where);

/// The text behind its first n characters; bytes that are no UTF-8 count as they are shown, a U+FFFD for one character.
/// Throws Error (--skip-chars) when there are no more than n.
std::string without_first(const std::string& text, int64_t n, const std::string& where);

/// Says on stderr how many bytes of a text of n_byte are not in its ids, because no token has them.
void warn_of_lost_bytes(const Tokenizer& tokenizer, std::span<const int32_t> ids, size_t n_byte);

}  // namespace reattend::cli
