// Writes a table's cells as people and as programs read them; CSV and JSON.
#include "report/table.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/json_number.h"
#include "base/utf8.h"

namespace reattend {
namespace {

bool is_for_programs(const Column& column) {
  return !column.key.empty();
}

std::string csv_text(const std::string& text, bool quoted) {
  if (!quoted && text.find_first_of(",\"\n\r") == text.npos) return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? "\"\"" : std::string(1, c);
  return out + '"';
}

std::string csv_cell(const Cell& cell, const Column& column) {
  if (const auto* text = std::get_if<std::string>(&cell)) return csv_text(*text, column.quoted);
  if (const auto* count = std::get_if<int64_t>(&cell)) return std::to_string(*count);
  const auto* number = std::get_if<double>(&cell);
  return number == nullptr || std::isnan(*number) ? "" : fmt::format("{}", *number);
}

nlohmann::json json_cell(const Cell& cell) {
  if (const auto* text = std::get_if<std::string>(&cell)) return *text;
  if (const auto* count = std::get_if<int64_t>(&cell)) return *count;
  const auto* number = std::get_if<double>(&cell);
  return number == nullptr ? nlohmann::json(nullptr) : json_number(*number);
}

std::string digits_of(double number, const Column& column) {
  const char* const plus = column.sign && number >= 0 ? "+" : "";
  const bool small = column.notation == Notation::small && number != 0 && std::abs(number) < 1e-3;
  if (small) return fmt::format("{}{:.1e}", plus, number);
  if (column.notation == Notation::significant) return fmt::format("{}{:.{}g}", plus, number, column.digits);
  if (column.notation == Notation::small && number == 0) return "0";
  return fmt::format("{}{:.{}f}", plus, number, column.digits);
}

}  // namespace

const std::string& heading(const Column& column) {
  return column.title.empty() ? column.key : column.title;
}

std::string printed(const Cell& cell, const Column& column) {
  if (const auto* text = std::get_if<std::string>(&cell)) return *text;
  if (const auto* count = std::get_if<int64_t>(&cell); count != nullptr && column.scale == 1) {
    return fmt::format("{}{}{}", column.sign && *count >= 0 ? "+" : "", *count, column.unit);
  }
  if (std::holds_alternative<std::monostate>(cell)) return "-";
  const auto* count = std::get_if<int64_t>(&cell);
  const double number = (count != nullptr ? static_cast<double>(*count) : std::get<double>(cell)) * column.scale;
  if (std::isnan(number)) return "-";
  if (std::isinf(number)) return "never";
  return digits_of(number, column) + column.unit;
}

std::string printed(double number, int digits) {
  return printed(Cell(number), Column{.key = {}, .digits = digits});
}

Table transposed(const Table& table, const std::string& corner) {
  Table out = {.name = table.name, .title = table.title, .columns = {{.key = {}, .title = corner, .left = true}}};
  for (const std::vector<Cell>& row : table.rows) {
    out.columns.push_back({.key = {}, .title = printed(row[0], table.columns[0])});
  }
  for (size_t c = 1; c < table.columns.size(); ++c) {
    if (table.columns[c].hidden) continue;
    std::vector<Cell>& row = out.rows.emplace_back(std::vector<Cell>{heading(table.columns[c])});
    for (const std::vector<Cell>& from : table.rows) row.emplace_back(printed(from[c], table.columns[c]));
  }
  return out;
}

Table unfolded(const Table& table) {
  Table out = {.name = table.name,
               .title = table.title,
               .columns = {{.key = {}, .left = true}, {.key = {}, .left = true}, {.key = {}, .left = true}}};
  for (const std::vector<Cell>& row : table.rows) {
    std::string name = printed(row[0], table.columns[0]);
    for (size_t c = 1; c < table.columns.size(); ++c) {
      if (table.columns[c].hidden) continue;
      out.rows.push_back({std::exchange(name, {}), heading(table.columns[c]), printed(row[c], table.columns[c])});
    }
  }
  return out;
}

size_t shown_width(const std::string& text) {
  return character_count(text);
}

namespace {

/// A line of keys and one for each row, their cells as `cell_text` has them.
std::string lines_of(const Table& table, const char* between,
                     const std::function<std::string(const Cell&, const Column&)>& cell_text) {
  std::string out;
  const auto line = [&](const auto& text_of) {
    bool first = true;
    for (size_t c = 0; c < table.columns.size(); ++c) {
      if (!is_for_programs(table.columns[c])) continue;
      out += (first ? "" : between) + text_of(c);
      first = false;
    }
    out += "\n";
  };
  line([&](size_t c) { return table.columns[c].key; });
  for (const std::vector<Cell>& row : table.rows) line([&](size_t c) { return cell_text(row[c], table.columns[c]); });
  return out;
}

}  // namespace

std::string to_csv(const Table& table) {
  return lines_of(table, ",", csv_cell);
}

std::string to_tsv(const Table& table) {
  return lines_of(table, "\t", [](const Cell& cell, const Column& column) {
    const auto* const text = std::get_if<std::string>(&cell);
    std::string out = text != nullptr ? *text : csv_cell(cell, column);
    std::ranges::replace_if(
        out, [](char c) { return c == '\t' || c == '\n' || c == '\r'; }, ' ');
    return out;
  });
}

nlohmann::json to_json(const Table& table) {
  nlohmann::json out = nlohmann::json::array();
  for (const std::vector<Cell>& row : table.rows) {
    nlohmann::json object = nlohmann::json::object();
    for (size_t c = 0; c < table.columns.size(); ++c) {
      if (is_for_programs(table.columns[c])) object[table.columns[c].key] = json_cell(row[c]);
    }
    out.push_back(std::move(object));
  }
  return out;
}

}  // namespace reattend
