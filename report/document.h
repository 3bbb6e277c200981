// A report as headings, text, tables, figures and commands, written as one HTML page or as Markdown with its figures
// beside it.
#pragma once
#include <filesystem>
#include <string>
#include <variant>
#include <vector>

#include "report/chart.h"
#include "report/table.h"

namespace reattend {

enum class Style { plain, strong, code };
struct Span {
  std::string text;  ///< of any bytes: whoever writes it escapes it
  Style style = Style::plain;
};
/// A paragraph, or an item of a list.
using Text = std::vector<Span>;

struct Heading {
  std::string text;
};
struct List {
  std::vector<Text> items;
};
/// Constant text with code in backticks; not for names out of files.
Text rich(const std::string& text);

/// To be typed or copied as it stands.
struct Commands {
  std::vector<std::string> lines;
};
/// A table's title is its caption; columns of what was measured are set apart.
struct Grid {
  Table table;
  size_t marked = SIZE_MAX;  ///< the row that is chosen
};
inline bool is_measured(const Column& column) {
  return column.group == "measured" || column.key == "measured";
}
struct Figure {
  std::string name;  ///< of its file, behind the report's: "front"
  Chart chart;
  std::string caption;
};
using Block = std::variant<Heading, Text, List, Commands, Grid, Figure>;

struct Document {
  std::string title;
  std::vector<Block> blocks;
};

std::string to_html(const Document& document);
/// `stem`: of the file, so that figures are named after it.
std::string to_markdown(const Document& document, const std::string& stem);

/// Throws Error before long work: a name that ends neither in .html nor in .md (usage), a folder that is not there, a
/// file that is and may not be replaced. `figures`: names of those that the report may have.
void check_document_path(const std::filesystem::path& path, const std::vector<std::string>& figures, bool force,
                         const std::string& option);
/// The files of a report that may have these figures.
std::vector<std::filesystem::path> document_files(const std::filesystem::path& path,
                                                  const std::vector<std::string>& figures);
/// Writes figures first, the report last; returns all paths.
std::vector<std::filesystem::path> write_document(const Document& document, const std::filesystem::path& path,
                                                  bool force);

}  // namespace reattend
