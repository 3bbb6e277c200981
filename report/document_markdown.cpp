// Markdown as GitHub and most editors show it; whatever could be markup in a name is escaped.
#include <cctype>

#include <fmt/format.h>

#include "report/document.h"

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

/// Within a fence longer than any row of backticks in it.
std::string code(const std::string& text) {
  const std::string shown = visible(text);
  size_t longest = 0, row = 0;
  for (const char c : shown) {
    row = c == '`' ? row + 1 : 0;
    longest = std::max(longest, row);
  }
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
  const std::string title = column.title.empty() ? column.key : column.title;
  return column.group.empty() ? title : fmt::format("{}, {}", title, column.group);
}

/// Address of a file beside the report, whatever its name holds.
std::string address(const std::string& name) {
  constexpr std::string_view kPlain = "-_.~";
  std::string out;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    out += letter || kPlain.find(c) != kPlain.npos ? std::string(1, c) : fmt::format("%{:02X}", byte);
  }
  return out;
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
  void operator()(const Commands& commands) {
    out += "```\n";
    for (const std::string& each : commands.lines) out += visible(each) + "\n";
    out += "```\n\n";
  }
  void operator()(const Grid& grid) {
    const Table& table = grid.table;
    if (!table.title.empty()) out += plain(table.title) + "\n\n";
    std::string rule;
    for (const Column& column : table.columns) {
      out += "| " + plain(title_of(column)) + " ";
      rule += column.left ? "|---" : "|---:";
    }
    out += "|\n" + rule + "|\n";
    for (size_t r = 0; r < table.rows.size(); ++r) {
      for (size_t c = 0; c < table.columns.size(); ++c) {
        const std::string text = plain(printed(table.rows[r][c], table.columns[c].digits));
        const bool strong = r == grid.marked || is_measured(table.columns[c]);
        out += strong && text != "-" && text != "\\-" && !text.empty() ? "| **" + text + "** " : "| " + text + " ";
      }
      out += "|\n";
    }
    out += "\n";
  }
  void operator()(const Figure& figure) {
    out += fmt::format("![{}]({})\n\n", plain(figure.chart.title), address(stem + "-" + figure.name + ".svg"));
    if (!figure.caption.empty()) out += plain(figure.caption) + "\n\n";
  }
};

}  // namespace

std::string to_markdown(const Document& document, const std::string& stem) {
  Writer writer = {.stem = stem, .out = "# " + plain(document.title) + "\n\n"};
  for (const Block& block : document.blocks) std::visit(writer, block);
  writer.out.pop_back();  // one line's end at the end of the file
  return writer.out;
}

}  // namespace reattend
