// Escapes markup and addresses; writes lines of SVG text that fit.
#include "report/markup.h"

#include <fmt/format.h>

#include "base/utf8.h"
#include "report/chart.h"
#include "report/words.h"

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

std::string address(std::string_view name) {
  constexpr std::string_view kPlain = "-_.~";
  std::string out;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    out += letter || kPlain.find(c) != kPlain.npos ? std::string(1, c) : fmt::format("%{:02X}", byte);
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
  return wrapped(text, [&](const std::string& line) { return text_width(line, size) <= room; });
}

}  // namespace reattend
