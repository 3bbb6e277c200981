// One page that needs nothing else: style and figures are in it, there are no scripts and no addresses.
#include <fmt/format.h>

#include "report/document.h"
#include "report/markup.h"

namespace reattend {
namespace {

/// Light and dark as the reader's system is set; on paper always light. Figures carry their own light colours, which
/// these rules replace.
constexpr const char* kStyle = R"(
:root { --paper: #fff; --ink: #1a1a1a; --dim: #5c5c5c; --rule: #d9d9d9; --soft: #f4f5f7; --mark: #fff3cf; --measured: #e9f4ec; color-scheme: light dark; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #16181c; --ink: #e6e6e6; --dim: #a4a8ae; --rule: #3a3e45; --soft: #1f2228; --mark: #4a3f1c; --measured: #1c3226; }
  svg .rule { stroke: #454a52; }
  svg .ink { stroke: #e6e6e6; }
  svg text { fill: #e6e6e6; }
  svg text.dim { fill: #a4a8ae; }
  svg .paper { fill: #16181c; }
  svg [stroke]:not(.ink):not(.rule) { filter: brightness(1.5); }
}
@media print {
  :root { --paper: #fff; --ink: #000; --dim: #444; --rule: #bbb; --soft: #f4f5f7; --mark: #fff3cf; --measured: #e9f4ec; }
  svg .rule { stroke: #bbb; }
  svg .ink { stroke: #000; }
  svg text, svg text.dim { fill: #000; }
  svg .paper { fill: #fff; }
  svg [stroke] { filter: none !important; }
  body { font-size: 10pt; }
  h2 { break-after: avoid; }
  figure, tr, pre { break-inside: avoid; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
body { background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, "DejaVu Sans", Verdana, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; line-height: 1.25; }
h2 { font-size: 1.25rem; margin-top: 2.2rem; border-bottom: 1px solid var(--rule); padding-bottom: .2rem; }
code, pre { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: .9em; background: var(--soft); }
code { padding: .1em .3em; border-radius: 3px; overflow-wrap: anywhere; }
pre { padding: .7rem 1rem; border-radius: 5px; white-space: pre-wrap; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--dim); padding-bottom: .4rem; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--rule); text-align: right; white-space: nowrap; }
th { font-weight: 600; vertical-align: bottom; }
.left { text-align: left; }
td.left { white-space: normal; min-width: 11rem; }
.group { text-align: center; }
.measured { background: var(--measured); font-weight: 600; }
tr.marked td { background: var(--mark); }
figure { margin: 1.2rem 0; }
figure svg { max-width: 100%; height: auto; }
figcaption { color: var(--dim); font-size: .9rem; }
)";

std::string shown(const std::string& text) {
  return escaped(visible(text));
}

std::string line(const Text& text) {
  std::string out;
  for (const Span& span : text) {
    const char* const tag = span.style == Style::code ? "code" : "strong";
    out += span.style == Style::plain ? shown(span.text) : fmt::format("<{0}>{1}</{0}>", tag, shown(span.text));
  }
  return out;
}

std::string classes(const Column& column) {
  std::string names;
  if (column.left) names += "left ";
  if (is_measured(column)) names += "measured ";
  if (names.empty()) return {};
  names.pop_back();
  return fmt::format(" class=\"{}\"", names);
}

struct Writer {
  std::string out;
  int n_figure = 0;

  void operator()(const Heading& heading) { out += fmt::format("<h2>{}</h2>\n", shown(heading.text)); }
  void operator()(const Text& text) { out += fmt::format("<p>{}</p>\n", line(text)); }
  void operator()(const List& list) {
    out += "<ul>\n";
    for (const Text& item : list.items) out += fmt::format("<li>{}</li>\n", line(item));
    out += "</ul>\n";
  }
  void operator()(const Commands& commands) {
    out += "<pre>";
    for (const std::string& each : commands.lines) out += shown(each) + "\n";
    out += "</pre>\n";
  }
  void operator()(const Grid& grid) {
    const Table& table = grid.table;
    out += "<div class=\"scroll\"><table>\n";
    if (!table.title.empty()) out += fmt::format("<caption>{}</caption>\n", shown(table.title));
    out += "<thead>\n" + groups(table) + "<tr>";
    for (const Column& column : table.columns) {
      out += fmt::format("<th scope=\"col\"{}>{}</th>", classes(column),
                         shown(column.title.empty() ? column.key : column.title));
    }
    out += "</tr>\n</thead>\n<tbody>\n";
    for (size_t r = 0; r < table.rows.size(); ++r) {
      out += r == grid.marked ? "<tr class=\"marked\">" : "<tr>";
      for (size_t c = 0; c < table.columns.size(); ++c) {
        const Column& column = table.columns[c];
        out += fmt::format("<td{}>{}</td>", classes(column), shown(printed(table.rows[r][c], column.digits)));
      }
      out += "</tr>\n";
    }
    out += "</tbody>\n</table></div>\n";
  }
  void operator()(const Figure& figure) {
    out += "<figure>\n" + to_svg_element(figure.chart, fmt::format("figure{}-", ++n_figure));
    if (!figure.caption.empty()) out += fmt::format("<figcaption>{}</figcaption>\n", shown(figure.caption));
    out += "</figure>\n";
  }

  /// The row over the titles; nothing where there are no groups.
  static std::string groups(const Table& table) {
    std::string row;
    bool any = false;
    for (size_t begin = 0; begin < table.columns.size();) {
      const std::string& group = table.columns[begin].group;
      size_t end = begin + 1;
      while (end < table.columns.size() && table.columns[end].group == group) ++end;
      row += group.empty() ? fmt::format("<td colspan=\"{}\"></td>", end - begin)
                           : fmt::format("<th class=\"group{}\" scope=\"colgroup\" colspan=\"{}\">{}</th>",
                                         group == "measured" ? " measured" : "", end - begin, shown(group));
      any = any || !group.empty();
      begin = end;
    }
    return any ? "<tr>" + row + "</tr>\n" : "";
  }
};

}  // namespace

std::string to_html(const Document& document) {
  Writer writer;
  for (const Block& block : document.blocks) std::visit(writer, block);
  const std::string title = shown(document.title);
  return fmt::format(
             "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
             "content=\"width=device-width, "
             "initial-scale=1\">\n<title>{0}</title>\n<style>{1}</style>\n</head>\n<body>\n"
             "<h1>{0}</h1>\n",
             title, kStyle) +
         writer.out + "</body>\n</html>\n";
}

}  // namespace reattend
