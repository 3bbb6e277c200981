// How well what somebody typed fits a text.
#pragma once
#include <string_view>

namespace reattend::viz {

/// Every word of `typed` must be found in `text`, whatever the case: best at the beginning of a word, then within one,
/// then letter by letter in order. 0 where one is not; more is better.
int fuzzy_score(std::string_view typed, std::string_view text);

}  // namespace reattend::viz
