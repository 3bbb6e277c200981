// Cells become text once for each of the three forms; the rest is padding and commas.
#include "report/table.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/utf8.h"

namespace reattend {
namespace {

std::string padded(const std::string& text, size_t width, bool left) {
  const std::string space(width - std::min(width, shown_width(text)), ' ');
  return left ? text + space : space + text;
}

std::string without_trailing_space(std::string line) {
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

/// Words in lines that fit.
std::string broken(const std::string& text, size_t width) {
  std::string out, line;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    const std::string word = text.substr(begin, end - begin);
    if (!line.empty() && shown_width(line) + 1 + shown_width(word) > width) {
      out += line + "\n";
      line.clear();
    }
    line += (line.empty() ? "" : " ") + word;
    begin = end + 1;
  }
  return out + line + "\n";
}

/// What is printed of a table: texts and their widths.
class Layout {
 public:
  explicit Layout(const Table& table) : table_(table) {
    for (size_t c = 0; c < table.columns.size(); ++c) {
      const Column& column = table.columns[c];
      std::vector<std::string>& texts = texts_.emplace_back();
      texts.push_back(column.title.empty() ? column.key : column.title);
      for (const std::vector<Cell>& row : table.rows) texts.push_back(printed(row[c], column.digits));
      size_t widest = 0;
      for (const std::string& text : texts) widest = std::max(widest, shown_width(text));
      widths_.push_back(widest);
    }
    widen_for_groups();
  }

  /// First column and as many of those from `begin` on as fit; `begin` moves behind them.
  std::string block(size_t& begin, size_t room) const {
    std::vector<size_t> columns = {0};
    size_t used = widths_[0];
    while (begin < texts_.size()) {
      const bool whole = used + width_of(begin, end_of_group(begin)) <= room;
      // A group that fits by itself is not broken; one that does not is filled up.
      const bool alone = widths_[0] + width_of(begin, end_of_group(begin)) <= room;
      if (!whole && alone && columns.size() > 1) break;
      const size_t end = whole ? end_of_group(begin) : begin + 1;
      if (columns.size() > 1 && used + width_of(begin, end) > room) break;
      used += width_of(begin, end);
      for (; begin < end; ++begin) columns.push_back(begin);
    }
    std::string out = groups(columns);
    for (size_t line = 0; line < texts_[0].size(); ++line) {
      std::string text;
      for (const size_t c : columns) {
        if (c != columns[0]) text += std::string(kGap + gap_before(c), ' ');
        text += padded(texts_[c][line], widths_[c], table_.columns[c].left);
      }
      out += without_trailing_space(text) + "\n";
    }
    return out;
  }
  size_t n_column() const { return texts_.size(); }

 private:
  static constexpr size_t kGap = 2;

  const std::string& group_of(size_t column) const { return table_.columns[column].group; }
  /// With the gaps before them.
  size_t width_of(size_t begin, size_t end) const {
    size_t width = 0;
    for (size_t c = begin; c < end; ++c) width += kGap + gap_before(c) + widths_[c];
    return width;
  }
  /// Groups are set off from what stands before them.
  size_t gap_before(size_t column) const {
    return column > 0 && !group_of(column).empty() && group_of(column) != group_of(column - 1) ? 1 : 0;
  }
  /// A column without a group is one by itself.
  size_t end_of_group(size_t begin) const {
    size_t end = begin + 1;
    while (!group_of(begin).empty() && end < texts_.size() && group_of(end) == group_of(begin)) ++end;
    return end;
  }
  void widen_for_groups() {
    for (size_t begin = 0; begin < texts_.size(); begin = end_of_group(begin)) {
      size_t width = 0;
      const size_t end = end_of_group(begin);
      for (size_t c = begin; c < end; ++c) width += widths_[c] + (c > begin ? kGap : 0);
      const size_t needed = shown_width(group_of(begin));
      if (needed > width) widths_[end - 1] += needed - width;
    }
  }
  /// The line over the titles; nothing where there are no groups.
  std::string groups(const std::vector<size_t>& columns) const {
    std::string line;
    bool any = false;
    for (size_t i = 0; i < columns.size();) {
      const std::string& name = group_of(columns[i]);
      size_t width = 0, j = i;
      for (; j < columns.size() && group_of(columns[j]) == name; ++j) width += widths_[columns[j]] + (j > i ? kGap : 0);
      if (i > 0) line += std::string(kGap + gap_before(columns[i]), ' ');
      const size_t ruled = width - std::min(width, shown_width(name) + 1);
      line += name.empty() ? std::string(width, ' ') : padded(name + " " + std::string(ruled, '-'), width, true);
      any = any || !name.empty();
      i = j;
    }
    return any ? without_trailing_space(line) + "\n" : "";
  }

  const Table& table_;
  std::vector<std::vector<std::string>> texts_;  ///< [columns] title, then rows
  std::vector<size_t> widths_;
};

}  // namespace

std::string printed(const Cell& cell, int digits) {
  if (const auto* text = std::get_if<std::string>(&cell)) return *text;
  if (const auto* count = std::get_if<int64_t>(&cell)) return std::to_string(*count);
  const auto* number = std::get_if<double>(&cell);
  if (number == nullptr || std::isnan(*number)) return "-";
  if (std::isinf(*number)) return "never";
  return fmt::format("{:.{}f}", *number, digits);
}

std::string visible(const std::string& bytes) {
  std::string out;
  for (const char c : to_utf8(bytes)) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\r') {
      out += "\\r";
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out;
}

size_t shown_width(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string to_text(const Table& table, size_t width) {
  std::string out = broken(table.title, width);
  const Layout layout(table);
  for (size_t begin = 1; begin < layout.n_column();) {
    if (begin > 1) out += "\n";
    out += layout.block(begin, width);
  }
  return out;
}

std::string to_csv(const Table& table) {
  std::string out;
  for (size_t c = 0; c < table.columns.size(); ++c) out += (c > 0 ? "," : "") + table.columns[c].key;
  out += "\n";
  for (const std::vector<Cell>& row : table.rows) {
    for (size_t c = 0; c < row.size(); ++c) {
      if (c > 0) out += ",";
      if (const auto* text = std::get_if<std::string>(&row[c])) {
        if (text->find_first_of(",\"\n\r") == text->npos) {
          out += *text;
          continue;
        }
        out += '"';
        for (const char each : *text) out += each == '"' ? "\"\"" : std::string(1, each);
        out += '"';
      } else if (const auto* count = std::get_if<int64_t>(&row[c])) {
        out += std::to_string(*count);
      } else if (const auto* number = std::get_if<double>(&row[c]); number != nullptr && !std::isnan(*number)) {
        out += fmt::format("{}", *number);
      }
    }
    out += "\n";
  }
  return out;
}

nlohmann::json to_json(const Table& table) {
  nlohmann::json out = nlohmann::json::array();
  for (const std::vector<Cell>& row : table.rows) {
    nlohmann::json object = nlohmann::json::object();
    for (size_t c = 0; c < row.size(); ++c) {
      nlohmann::json& to = object[table.columns[c].key];
      if (const auto* text = std::get_if<std::string>(&row[c])) {
        to = *text;
      } else if (const auto* count = std::get_if<int64_t>(&row[c])) {
        to = *count;
      } else if (const auto* number = std::get_if<double>(&row[c]); number != nullptr && std::isfinite(*number)) {
        to = *number;
      }
    }
    out.push_back(std::move(object));
  }
  return out;
}

}  // namespace reattend
