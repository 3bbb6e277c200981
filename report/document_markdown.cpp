// A report as Markdown that GitHub and most editors show; whatever could be markup in a name is escaped.
#include <algorithm>
#include <cctype>

#include <fmt/format.h>

#include "base/utf8.h"
#include "report/document.h"
#include "report/markup.h"

namespace reattend {
namespace {

bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0;
}

/// One line of text that shows every character as it is; marks that can't be markup where they stand stay bare, for
/// those who read the source.
std::string plain(const std::string& text) {
  constexpr std::string_view kMarkup = "\\`*[]<|~&$";
  const std::string shown = visible(text);
  std::string out;
  for (size_t i = 0; i < shown.size(); ++i) {
    const char c = shown[i];
    const bool within_word = i > 0 && i + 1 < shown.size() && is_word(shown[i - 1]) && is_word(shown[i + 1]);
    if (kMarkup.find(c) != kMarkup.npos || (c == '_' && !within_word)) out += '\\';
    out += c;
  }
  // At the beginning of a line these would make a heading, a list, a quotation or a rule.
  const bool begins = !out.empty() && std::string_view("#>-+=").find(out.front()) != std::string_view::npos;
  if (begins && out != "-") out.insert(0, "\\");
  return out;
}

/// Of the longest row of backticks in a text: a fence around it must be longer.
size_t longest_fence(const std::string& text) {
  size_t longest = 0, row = 0;
  for (const char c : text) {
    row = c == '`' ? row + 1 : 0;
    longest = std::max(longest, row);
  }
  return longest;
}

std::string code(const std::string& text) {
  const std::string shown = visible(text);
  const size_t longest = longest_fence(shown);
  const std::string fence(longest + 1, '`'), space = longest > 0 ? " " : "";
  return fence + space + shown + space + fence;
}

std::string line(const Text& text) {
  std::string out;
  for (const Span& span : text) {
    out += span.style == Style::code     ? code(span.text)
           : span.style == Style::strong ? "**" + plain(span.text) + "**"
                                         : plain(span.text);
  }
  return out;
}

std::string title_of(const Column& column) {
  return column.group.empty() ? heading(column) : fmt::format("{}, {}", heading(column), column.group);
}

struct Writer {
  const std::string& stem;
  std::string out;

  void operator()(const Heading& heading) { out += "## " + plain(heading.text) + "\n\n"; }
  void operator()(const Text& text) { out += line(text) + "\n\n"; }
  void operator()(const List& list) {
    for (const Text& item : list.items) out += "* " + line(item) + "\n";
    out += "\n";
  }
  void operator()(const Verbatim& verbatim) {
    std::string lines;
    for (const std::string& each : verbatim.lines) lines += visible(each) + "\n";
    const std::string fence(std::max<size_t>(3, longest_fence(lines) + 1), '`');
    out += fence + "\n" + lines + fence + "\n\n";
  }
  void operator()(const Table& table) { out += reattend::to_markdown(table) + "\n"; }
  void operator()(const Figure& figure) {
    out += fmt::format("![{}]({})\n\n", plain(figure.chart.title), address(stem + "-" + figure.name + ".svg"));
    if (!figure.caption.empty()) out += plain(figure.caption) + "\n\n";
  }
  void operator()(const Picture& picture) {
    out += fmt::format("![{}]({})\n\n", plain(picture.title), address(picture.file));
  }
};

}  // namespace

std::string to_markdown(const Table& table) {
  std::string out, rule;
  if (!table.title.empty()) out += plain(table.title) + "\n\n";
  for (const Column& column : table.columns) {
    if (column.hidden) continue;
    out += "| " + plain(title_of(column)) + " ";
    rule += column.left ? "|---" : "|---:";
  }
  out += "|\n" + rule + "|\n";
  for (size_t r = 0; r < table.rows.size(); ++r) {
    for (size_t c = 0; c < table.columns.size(); ++c) {
      if (table.columns[c].hidden) continue;
      const std::string text = plain(printed(table.rows[r][c], table.columns[c]));
      const bool strong = table.marked.contains(r) || table.columns[c].strong;
      out += strong && text != "-" && !text.empty() ? "| **" + text + "** " : "| " + text + " ";
    }
    out += "|\n";
  }
  return out;
}

std::string to_markdown(const Document& document, const std::string& stem) {
  Writer writer = {.stem = stem, .out = "# " + plain(document.title) + "\n\n"};
  for (const Block& block : document.blocks) std::visit(writer, block);
  writer.out.pop_back();  // one line's end at the end of the file
  return writer.out;
}

}  // namespace reattend
