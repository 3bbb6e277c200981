// A report as headings, text, tables, charts and commands, written as one HTML page, as Markdown with its charts beside
// it, or as text for a terminal.
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

/// Lines that stay as they are: commands to type, a text that a model wrote.
struct Verbatim {
  std::vector<std::string> lines;
};
/// The lines of a text.
Verbatim verbatim(const std::string& text);

struct Figure {
  std::string name;  ///< of its file, behind the report's: "front"
  Chart chart;
  std::string caption;
};
/// A picture that lies beside the report as a file.
struct Picture {
  std::string file, title;
};
using Block = std::variant<Heading, Text, List, Verbatim, Table, Figure, Picture>;

/// A table's title is its caption.
struct Document {
  std::string title;
  std::vector<Block> blocks;

  void add(Block block) { blocks.push_back(std::move(block)); }
  void head(const std::string& text) { add(Heading{text}); }
  /// A paragraph of plain text.
  void say(const std::string& text) { add(Text{{text}}); }
};

std::string to_html(const Document& document);
/// `stem`: of the file, so that figures are named after it.
std::string to_markdown(const Document& document, const std::string& stem);
/// Without its figures, whose titles stand in their place.
std::string to_text(const Document& document, size_t width = 120);

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
