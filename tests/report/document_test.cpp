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
