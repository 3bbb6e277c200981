// A table declared once, columns and rows, and written as text for a terminal, as CSV, JSON, Markdown or HTML.
#pragma once
#include <cstdint>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace reattend {

/// Nothing, a count, a number or a text. Nothing and NaN are "-" for people, empty in CSV and null in JSON; an
/// infinity, as an effective stride has it where nothing is refreshed, is "never", inf and null.
using Cell = std::variant<std::monostate, int64_t, double, std::string>;

/// How people read a column's numbers; programs get all their digits.
enum class Notation {
  fixed,        ///< `digits` behind the point
  significant,  ///< `digits` in all
  small,        ///< fixed, but with an exponent below 0.001: small divergences keep their digits
};

struct Column {
  std::string key;         ///< in CSV and JSON; empty: the column is for people alone
  std::string title = {};  ///< for people; empty: the key
  int digits = 3;
  bool left = false;       ///< of texts; the leading ones name a row and are repeated where a wide table is folded
  std::string group = {};  ///< stands once over neighbouring columns that share it
  double scale = 1;        ///< people read numbers times this: shares in percent (100), bytes in MB (1e-6)
  std::string unit = {};   ///< behind each number, for people: " %"
  bool sign = false;       ///< "+3" for people
  Notation notation = Notation::fixed;
  bool strong = false;  ///< set apart in documents: what was measured beside what was predicted
  bool hidden = false;  ///< for programs alone
  bool quoted = false;  ///< its texts stand in quotes in CSV whether they must or not
};

struct Table {
  std::string name = {};   ///< in JSON, and of the CSV file
  std::string title = {};  ///< for people, over the table; broken into lines that fit
  std::vector<Column> columns;
  std::vector<std::vector<Cell>> rows = {};
  std::set<size_t> marked = {};  ///< rows that stand out: what is chosen
};

/// What stands over a column.
const std::string& heading(const Column& column);
/// A cell as people read it.
std::string printed(const Cell& cell, const Column& column);
/// A number as people read it.
std::string printed(double number, int digits);

/// Columns become rows, for people: a few things with many numbers each, read downwards. The new columns are named by
/// the old first one, and `corner` stands over the old headings.
Table transposed(const Table& table, const std::string& corner = {});

/// A row for each text, for people: of tables whose rows are a few long texts each.
Table unfolded(const Table& table);

/// Columns of a terminal that a text in UTF-8 takes, a character each.
size_t shown_width(const std::string& text);

/// Columns as wide as their widest cell, numbers to the right, "*" before marked rows. No line is longer than `width`
/// unless a name or a word is: long texts are broken into lines, further columns, groups as wholes where they fit,
/// follow below under the row's name. Where no column has a heading there is no line of headings.
std::string to_text(const Table& table, size_t width = 120);
std::string to_csv(const Table& table);
/// The same with tabs between, as spreadsheets take it from the clipboard; tabs and line ends of texts become blanks.
std::string to_tsv(const Table& table);
/// An object for each row.
nlohmann::json to_json(const Table& table);
std::string to_markdown(const Table& table);
std::string to_html(const Table& table);

}  // namespace reattend
