// Scores word by word: places of whole words count more than letters far apart.
#include "viz/actions/fuzzy.h"

#include <algorithm>
#include <string>

#include "base/ascii.h"

namespace reattend::viz {
namespace {

constexpr int kBegins = 100, kWithin = 60, kScattered = 20;

bool ends_word(char c) {
  return c == ' ' || c == '.' || c == '_' || c == '-' || c == ',' || c == ':';
}

bool begins_word(const std::string& text, size_t at) {
  return at == 0 || ends_word(text[at - 1]);
}

int score_of_word(const std::string& word, const std::string& text) {
  int best = 0;
  for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
    const bool whole = at + word.size() == text.size() || ends_word(text[at + word.size()]);
    best = std::max(best, begins_word(text, at) ? kBegins + (whole ? 10 : 0) + (at == 0 ? 5 : 0) : kWithin);
  }
  if (best > 0) return best;
  // Letters in order; those at the beginning of words, as in "nfs" for "next full step", weigh most.
  size_t from = 0;
  int at_begin = 0;
  for (const char c : word) {
    size_t at = from;
    while (at < text.size() && !(text[at] == c && begins_word(text, at))) ++at;
    at_begin += at < text.size() ? 1 : 0;
    if (at == text.size()) at = text.find(c, from);
    if (at == std::string::npos) return 0;
    from = at + 1;
  }
  return kScattered + at_begin;
}

}  // namespace

int fuzzy_score(std::string_view typed, std::string_view text) {
  const std::string words = ascii_lower(typed), whole = ascii_lower(text);
  int score = 0, n_word = 0;
  for (size_t from = 0; from < words.size();) {
    size_t end = words.find(' ', from);
    if (end == std::string::npos) end = words.size();
    if (end > from) {
      const int word = score_of_word(words.substr(from, end - from), whole);
      if (word == 0) return 0;
      score += word, ++n_word;
    }
    from = end + 1;
  }
  return n_word > 0 ? score / n_word : 1;
}

}  // namespace reattend::viz
