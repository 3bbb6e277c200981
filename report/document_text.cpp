// A report as text for a terminal: headings underlined, paragraphs in lines that fit, figures by their titles.
#include <fmt/format.h>

#include "base/utf8.h"
#include "report/document.h"
#include "report/words.h"

namespace reattend {
namespace {

std::string line(const Text& text) {
  std::string out;
  for (const Span& span : text) {
    out += span.style == Style::code ? fmt::format("`{}`", visible(span.text)) : visible(span.text);
  }
  return out;
}

std::string underlined(const std::string& text, char rule) {
  return text + "\n" + std::string(shown_width(text), rule) + "\n\n";
}

struct Writer {
  size_t width;
  std::string out;

  void operator()(const Heading& heading) { out += underlined(visible(heading.text), '-'); }
  void operator()(const Text& text) { out += wrapped(line(text), width) + "\n"; }
  void operator()(const List& list) {
    for (const Text& item : list.items) out += wrapped("* " + line(item), width, 2);
    out += "\n";
  }
  void operator()(const Verbatim& verbatim) {
    for (const std::string& each : verbatim.lines) out += "  " + visible(each) + "\n";
    out += "\n";
  }
  void operator()(const Table& table) { out += to_text(table, width) + "\n"; }
  void operator()(const Figure& figure) {
    const std::string caption = figure.caption.empty() ? "" : " " + figure.caption;
    out += wrapped(visible(fmt::format("Figure \"{}\".{}", figure.chart.title, caption)), width) + "\n";
  }
  void operator()(const Picture& picture) {
    out += wrapped(visible(fmt::format("Picture {}: {}", picture.file, picture.title)), width) + "\n";
  }
};

}  // namespace

std::string to_text(const Document& document, size_t width) {
  Writer writer = {.width = width, .out = underlined(visible(document.title), '=')};
  for (const Block& block : document.blocks) std::visit(writer, block);
  writer.out.pop_back();  // one line's end at the end
  return writer.out;
}

}  // namespace reattend
