// A text with the places in it where names of special tokens stand for the tokens.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace reattend {

/// A text in which names of special tokens stand for the tokens at marked places only, such as those that a template
/// wrote. Elsewhere, in what a user wrote, they are text like any other.
struct MarkedText {
  struct Range {
    size_t begin, end;  ///< bytes
  };
  std::string text;
  std::vector<Range> marks;  ///< in order, not touching

  void add_marks(std::string_view more) {
    if (more.empty()) return;
    if (!marks.empty() && marks.back().end == text.size()) {
      marks.back().end += more.size();
    } else {
      marks.push_back({text.size(), text.size() + more.size()});
    }
    text += more;
  }
  void add_plain(std::string_view more) { text += more; }
};

}  // namespace reattend
