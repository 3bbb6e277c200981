// Counts in words, and words in lines that fit.
#include "report/words.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/utf8.h"

namespace reattend {

std::string thousands(int64_t n) {
  std::string digits = std::to_string(n);
  const size_t first = n < 0 ? 1 : 0;
  for (size_t at = digits.size(); at > first + 3;) digits.insert(at -= 3, ",");
  return digits;
}

std::string plural(int64_t n, const std::string& word) {
  return fmt::format("{} {}{}", thousands(n), word, n == 1 ? "" : "s");
}

std::vector<std::string> wrapped(const std::string& text, const std::function<bool(const std::string& line)>& fits) {
  std::vector<std::string> lines;
  std::string line;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    const std::string word = text.substr(begin, end - begin);
    std::string longer = line.empty() ? word : line + " " + word;
    if (!line.empty() && !fits(longer)) {
      lines.push_back(std::move(line));
      line = word;
    } else {
      line = std::move(longer);
    }
    begin = end + 1;
  }
  if (!line.empty()) lines.push_back(std::move(line));
  return lines;
}

std::string wrapped(const std::string& text, size_t width, size_t hang) {
  const size_t room = width - std::min(width, hang);
  std::string out;
  for (const std::string& line : wrapped(text, [&](const std::string& l) { return character_count(l) <= room; })) {
    out += (out.empty() ? "" : std::string(hang, ' ')) + line + "\n";
  }
  return out;
}

}  // namespace reattend
