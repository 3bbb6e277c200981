// Names of the writing systems that characters belong to.
#pragma once
#include <string>

namespace reattend::viz {

/// "Devanagari", "emoji"; the code itself ("U+13000") where the script is not listed here.
std::string script_of(char32_t code);

/// Whether the character only joins or varies its neighbours and has no picture of its own.
bool joins_characters(char32_t code);

}  // namespace reattend::viz
