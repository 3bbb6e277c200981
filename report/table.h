// A table of numbers once: printed for people, as CSV and as JSON.
#pragma once
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace reattend {

/// Nothing, a count, a number or a text. Numbers that are none (nan) are "-", empty and null; an infinity, as an
/// effective stride has it where nothing is refreshed, is "never", inf and null.
using Cell = std::variant<std::monostate, int64_t, double, std::string>;

struct Column {
  std::string key;         ///< in CSV and JSON
  std::string title = {};  ///< over the printed column; empty: the key
  int digits = 3;          ///< behind the point
  bool left = false;
  std::string group = {};  ///< stands once over neighbouring columns that share it
};

struct Table {
  std::string name;   ///< in JSON, and of the CSV file
  std::string title;  ///< over the printed table; broken into lines that fit
  std::vector<Column> columns;
  std::vector<std::vector<Cell>> rows;
};

/// A cell as people read it.
std::string printed(const Cell& cell, int digits);

/// Text in UTF-8 with whatever would disturb a line made visible.
std::string visible(const std::string& bytes);
/// Columns of a terminal that a text in UTF-8 takes, a character each.
size_t shown_width(const std::string& text);

/// Columns as wide as their widest cell, numbers to the right. No line is longer than `width`: further columns, groups
/// as wholes where they fit, follow below under a first column repeated.
std::string to_text(const Table& table, size_t width = 120);
std::string to_csv(const Table& table);
/// An object for each row.
nlohmann::json to_json(const Table& table);

}  // namespace reattend
