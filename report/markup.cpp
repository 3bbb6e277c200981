// Escaping, and lines of text that fit.
#include "report/markup.h"

#include <fmt/format.h>

#include "base/utf8.h"
#include "report/chart.h"

namespace reattend {

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : to_utf8(text)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? ' ' : c;
    }
  }
  return out;
}

std::string text_line(double x, double y, std::string_view text, double size, const char* anchor, double room,
                      std::string_view more) {
  const double width = text_width(text, size);
  const double fitting = width > room ? size * room / width : size;
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" font-size=\"{:.1f}\" text-anchor=\"{}\"{}{}>{}</text>\n", x, y,
                     fitting, anchor, more.empty() ? "" : " ", more, escaped(text));
}

std::vector<std::string> wrapped(const std::string& text, double size, double room) {
  std::vector<std::string> lines;
  std::string line;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    const std::string word = text.substr(begin, end - begin);
    const std::string longer = line.empty() ? word : line + " " + word;
    if (!line.empty() && text_width(longer, size) > room) {
      lines.push_back(line);
      line = word;
    } else {
      line = longer;
    }
    begin = end + 1;
  }
  if (!line.empty()) lines.push_back(line);
  return lines;
}

}  // namespace reattend
