// A report in Markdown as its reader meets it: rendered, every name is what it was; as source, it is no thicket of
// marks.
#include <gtest/gtest.h>

#include "report/document.h"

namespace reattend::cli {
namespace {

std::string paragraph(const std::string& text) {
  const std::string all = to_markdown({.title = "t", .blocks = {Text{{text, Style::plain}}}}, "stem");
  return all.substr(std::string("# t\n\n").size());
}

TEST(Document, SaysTheSameOnATerminalInMarkdownAndInHtml) {
  Document document = {.title = "Tuned", .blocks = {}};
  document.head("Why");
  document.add(Text{{"Use "}, {"recycled S=16", Style::code}, {": it is "}, {"fast", Style::strong}, {"."}});
  document.add(List{{{{"one long item that goes on for more than a line has"}}, {{"two"}}}});
  document.add(Table{.title = "Times", .columns = {{.key = "ms", .digits = 1}}, .rows = {{12.25}}});
  document.add(verbatim("first line\n```\nlast"));
  document.add(Figure{"front", {.title = "Time"}, "Left is faster."});
  document.add(Picture{"a b.png", "The trace"});
  EXPECT_EQ(to_text(document, 40),
            "Tuned\n=====\n\nWhy\n---\n\nUse `recycled S=16`: it is fast.\n\n"
            "* one long item that goes on for more\n  than a line has\n* two\n\n"
            "Times\n  ms\n12.2\n\n  first line\n  ```\n  last\n\n"
            "Figure \"Time\". Left is faster.\n\nPicture a b.png: The trace\n");
  const std::string markdown = to_markdown(document, "report");
  for (const char* const part :
       {"# Tuned\n", "## Why\n", "Use `recycled S=16`: it is **fast**.", "* two\n", "| 12.2 |",
        "````\nfirst line\n```\nlast\n````\n", "![Time](report-front.svg)", "![The trace](a%20b.png)"}) {
    EXPECT_NE(markdown.find(part), std::string::npos) << part << "\n" << markdown;
  }
  const std::string html = to_html(document);
  for (const char* const part : {"<h1>Tuned</h1>", "<h2>Why</h2>", "<code>recycled S=16</code>", "<li>two</li>",
                                 "<td>12.2</td>", "first line\n```\nlast", "<svg ", "src=\"a%20b.png\""}) {
    EXPECT_NE(html.find(part), std::string::npos) << part << "\n" << html;
  }
}

TEST(Markdown, OnlyWhatCouldBeMarkupIsEscaped) {
  for (const char* const bare :
       {"list_packages_2.h5 (64 steps, full attention)", "S=16, K=L/8: {a} # 1 + 2 > 2 - 1!"}) {
    EXPECT_EQ(paragraph(bare), std::string(bare) + "\n");
  }
  EXPECT_EQ(paragraph("a <b>*x*_y_"), "a \\<b>\\*x\\*\\_y\\_\n");
  EXPECT_EQ(paragraph("_a_ __b__ c_d_ e__f"), "\\_a\\_ \\_\\_b\\_\\_ c_d\\_ e\\_\\_f\n");
  EXPECT_EQ(paragraph("[x](y) ![x](y) a|b ~~c~~ $d$ `e` \\f &g"),
            "\\[x\\](y) !\\[x\\](y) a\\|b \\~\\~c\\~\\~ \\$d\\$ \\`e\\` \\\\f \\&g\n");
  for (const char* const begin : {"# a", "> a", "- a", "+ a", "=== a"}) {
    EXPECT_EQ(paragraph(begin), "\\" + std::string(begin) + "\n") << begin;
  }
}

}  // namespace
}  // namespace reattend::cli
