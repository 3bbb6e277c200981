// Counts in words, and words in lines that fit.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace reattend {

/// "12,345".
std::string thousands(int64_t n);
/// "1 step", "2,048 steps".
std::string plural(int64_t n, const std::string& word);

/// Words in lines for which `fits` holds; a word that does not fit alone has a line of its own. No lines for no words.
std::vector<std::string> wrapped(const std::string& text, const std::function<bool(const std::string& line)>& fits);
/// The same in lines of at most `width` characters, each with its end; `hang` blanks before all but the first.
std::string wrapped(const std::string& text, size_t width, size_t hang = 0);

}  // namespace reattend
