// Finds a text in that of a trace, whatever its case and wherever its tokens begin and end.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "viz/session/text_layout.h"

namespace reattend::viz {

/// Lower case of the scripts that have cases, one character at a time: Latin, Greek, Cyrillic, Armenian, wide forms.
char32_t folded(char32_t code);

class TextSearch {
 public:
  void set_text(std::string_view text);
  /// All places of the text, without overlaps, in order; none of an empty one. What was found before is forgotten.
  void find(std::string_view wanted);

  const std::string& wanted() const { return wanted_; }
  const std::vector<ByteRange>& hits() const { return hits_; }
  /// Number of the first hit that begins at the byte or behind it, around the end; -1: there is none.
  int32_t next_from(uint32_t byte) const;
  /// Number of the last hit that begins before the byte, around the start; -1: there is none.
  int32_t last_before(uint32_t byte) const;

 private:
  std::u32string text_;           ///< folded
  std::vector<uint32_t> begins_;  ///< [text_ + 1] its characters' first bytes, and the end
  std::string wanted_;
  std::vector<ByteRange> hits_;
};

}  // namespace reattend::viz
