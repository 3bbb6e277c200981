// Writes a table on a terminal: columns as wide as their widest cell, folded where they are wider than a line.
#include <algorithm>

#include <fmt/format.h>

#include "report/table.h"
#include "report/words.h"

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

using Lines = std::vector<std::string>;

size_t widest_of(const Lines& lines) {
  size_t widest = 0;
  for (const std::string& line : lines) widest = std::max(widest, shown_width(line));
  return widest;
}

/// What is printed of a table: texts and their widths.
class Layout {
 public:
  Layout(const Table& table, size_t width) : marked_(table.marked) {
    for (size_t c = 0; c < table.columns.size(); ++c) {
      const Column& column = table.columns[c];
      if (column.hidden) continue;
      columns_.push_back(&column);
      std::vector<Lines>& texts = texts_.emplace_back();
      texts.push_back({heading(column)});
      for (const std::vector<Cell>& row : table.rows) texts.push_back({printed(row[c], column)});
      size_t widest = 0;
      for (const Lines& text : texts) widest = std::max(widest, widest_of(text));
      widths_.push_back(widest);
    }
    while (n_name_ < columns_.size() && columns_[n_name_]->left) ++n_name_;
    if (n_name_ == columns_.size() && n_name_ > 0) --n_name_;  // of texts alone the last column is what they name
    if (n_name_ == 0) n_name_ = std::min<size_t>(1, columns_.size());
    wrap_texts(width);
    widen_for_groups();
  }

  /// The row's name and as many columns from `begin` on as fit; `begin` moves behind them. Beside names that fill a
  /// line there is room for half a line more: folded to one column a line, a table could not be read.
  std::string block(size_t& begin, size_t width) const {
    std::vector<size_t> shown;
    for (size_t c = 0; c < n_name_; ++c) shown.push_back(c);
    const size_t names = name_width(), room = std::max(width, names + width / 2);
    size_t used = names;
    while (begin < columns_.size()) {
      const bool whole = used + width_of(begin, end_of_group(begin)) <= room;
      // A group that fits by itself is not broken; one that does not is filled up.
      const bool alone = names + width_of(begin, end_of_group(begin)) <= room;
      if (!whole && alone && shown.size() > n_name_) break;
      const size_t end = whole ? end_of_group(begin) : begin + 1;
      if (shown.size() > n_name_ && used + width_of(begin, end) > room) break;
      used += width_of(begin, end);
      for (; begin < end; ++begin) shown.push_back(begin);
    }
    std::string out = groups(shown);
    for (size_t r = has_headings() ? 0 : 1; r < texts_[0].size(); ++r) out += row(shown, r);
    return out;
  }
  /// Columns that name a row, and all of them.
  size_t n_name() const { return n_name_; }
  size_t n_column() const { return columns_.size(); }

 private:
  static constexpr size_t kGap = 2;

  size_t gutter() const { return marked_.empty() ? 0 : 2; }
  size_t name_width() const { return width_of(0, n_name_) - kGap + gutter(); }
  bool has_headings() const {
    return std::any_of(texts_.begin(), texts_.end(), [](const auto& texts) { return !texts[0][0].empty(); });
  }
  /// Texts that do not fit beside everything else are broken into lines that do, or, where hardly any room is left
  /// there, into lines that fit beside the row's name.
  void wrap_texts(size_t width) {
    constexpr size_t kLeast = 36;
    const size_t all = width_of(0, columns_.size()) - kGap + gutter();
    for (size_t c = n_name_; c < columns_.size(); ++c) {
      if (!columns_[c]->left || all <= width || widths_[c] <= kLeast) continue;
      const size_t others = all - widths_[c], names = name_width() + kGap;
      const size_t beside = others + kLeast <= width ? others : std::min(names, width - kLeast);
      widths_[c] = 0;
      for (Lines& text : texts_[c]) {
        Lines lines = wrapped(text[0], [&](const std::string& line) { return shown_width(line) + beside <= width; });
        if (!lines.empty()) text = std::move(lines);
        widths_[c] = std::max(widths_[c], widest_of(text));
      }
    }
  }
  /// Row 0 has the headings.
  std::string row(const std::vector<size_t>& shown, size_t r) const {
    size_t n_line = 1;
    for (const size_t c : shown) n_line = std::max(n_line, texts_[c][r].size());
    std::string out;
    for (size_t line = 0; line < n_line; ++line) {
      std::string text(gutter(), ' ');
      if (line == 0 && r > 0 && marked_.contains(r - 1)) text[0] = '*';
      for (const size_t c : shown) {
        if (c != shown[0]) text += std::string(kGap + gap_before(c), ' ');
        const Lines& lines = texts_[c][r];
        text += padded(line < lines.size() ? lines[line] : "", widths_[c], columns_[c]->left);
      }
      out += without_trailing_space(text) + "\n";
    }
    return out;
  }
  const std::string& group_of(size_t column) const { return columns_[column]->group; }
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
    while (!group_of(begin).empty() && end < columns_.size() && group_of(end) == group_of(begin)) ++end;
    return end;
  }
  void widen_for_groups() {
    for (size_t begin = 0; begin < columns_.size(); begin = end_of_group(begin)) {
      size_t width = 0;
      const size_t end = end_of_group(begin);
      for (size_t c = begin; c < end; ++c) width += widths_[c] + (c > begin ? kGap : 0);
      const size_t needed = shown_width(group_of(begin));
      if (needed > width) widths_[end - 1] += needed - width;
    }
  }
  /// The line over the headings; nothing where there are no groups.
  std::string groups(const std::vector<size_t>& shown) const {
    std::string line(gutter(), ' ');
    bool any = false;
    for (size_t i = 0; i < shown.size();) {
      const std::string& name = group_of(shown[i]);
      size_t width = 0, j = i;
      for (; j < shown.size() && group_of(shown[j]) == name; ++j) width += widths_[shown[j]] + (j > i ? kGap : 0);
      if (i > 0) line += std::string(kGap + gap_before(shown[i]), ' ');
      const size_t ruled = width - std::min(width, shown_width(name) + 1);
      line += name.empty() ? std::string(width, ' ') : padded(name + " " + std::string(ruled, '-'), width, true);
      any = any || !name.empty();
      i = j;
    }
    return any ? without_trailing_space(line) + "\n" : "";
  }

  const std::set<size_t>& marked_;
  std::vector<const Column*> columns_;     ///< those that are shown
  std::vector<std::vector<Lines>> texts_;  ///< [columns] heading, then rows
  std::vector<size_t> widths_;
  size_t n_name_ = 0;
};

}  // namespace

std::string to_text(const Table& table, size_t width) {
  std::string out = wrapped(table.title, width);
  const Layout layout(table, width);
  if (layout.n_column() == 0) return out;
  size_t begin = layout.n_name();
  do {
    if (begin > layout.n_name()) out += "\n";
    out += layout.block(begin, width);
  } while (begin < layout.n_column());
  return out;
}

}  // namespace reattend
