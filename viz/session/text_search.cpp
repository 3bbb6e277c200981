// Folds the text once, then looks for folded words in it.
#include "viz/session/text_search.h"

#include <algorithm>

#include "base/utf8.h"

namespace reattend::viz {
namespace {

/// Folded characters of UTF-8; a byte that begins none stands for itself, beyond Unicode.
std::u32string fold(std::string_view text, std::vector<uint32_t>* begins) {
  constexpr char32_t kBytes = 0x110000;
  std::u32string out;
  for (size_t i = 0; i < text.size();) {
    const Utf8Char next = first_utf8_char(text.substr(i));
    const bool ok = next.status == Utf8Status::ok;
    if (begins != nullptr) begins->push_back(static_cast<uint32_t>(i));
    out += ok ? folded(next.codepoint) : kBytes + static_cast<uint8_t>(text[i]);
    i += ok ? next.length : 1;
  }
  if (begins != nullptr) begins->push_back(static_cast<uint32_t>(text.size()));
  return out;
}

}  // namespace

char32_t folded(char32_t code) {
  const auto in = [code](char32_t first, char32_t last) { return code >= first && code <= last; };
  if (in('A', 'Z') || in(0xFF21, 0xFF3A)) return code + 0x20;
  if (in(0xC0, 0xDE) && code != 0xD7) return code + 0x20;
  // Capital and small letters in turn, the capital at an even code or at an odd one.
  if (in(0x100, 0x12F) || in(0x132, 0x137) || in(0x14A, 0x177) || in(0x1A0, 0x1A5) || in(0x1DE, 0x1EF) ||
      in(0x1F8, 0x21F) || in(0x222, 0x233) || in(0x370, 0x373) || in(0x3D8, 0x3EF) || in(0x460, 0x481) ||
      in(0x48A, 0x4BF) || in(0x4D0, 0x52F) || in(0x1E00, 0x1E95) || in(0x1EA0, 0x1EFF)) {
    return code | 1;
  }
  if (in(0x139, 0x148) || in(0x179, 0x17E) || in(0x1CD, 0x1DC) || in(0x4C1, 0x4CE)) return code + (code & 1);
  if (code == 0x178) return 0xFF;
  if (code == 0x1AF) return 0x1B0;
  if (code == 0x386) return 0x3AC;
  if (in(0x388, 0x38A)) return code + 37;
  if (code == 0x38C) return 0x3CC;
  if (in(0x38E, 0x38F)) return code + 63;
  if (in(0x391, 0x3AB)) return code + 0x20;
  if (code == 0x3C2) return 0x3C3;  // a sigma at the end of a word
  if (in(0x400, 0x40F)) return code + 0x50;
  if (in(0x410, 0x42F)) return code + 0x20;
  if (in(0x531, 0x556)) return code + 0x30;
  return code;
}

void TextSearch::set_text(std::string_view text) {
  begins_.clear();
  text_ = fold(text, &begins_);
  find(std::string(wanted_));
}

void TextSearch::find(std::string_view wanted) {
  wanted_ = wanted;
  hits_.clear();
  const std::u32string what = fold(wanted_, nullptr);
  if (what.empty()) return;
  for (size_t at = text_.find(what); at != std::u32string::npos; at = text_.find(what, at + what.size())) {
    hits_.push_back({begins_[at], begins_[at + what.size()]});
  }
}

int32_t TextSearch::next_from(uint32_t byte) const {
  if (hits_.empty()) return -1;
  const auto at = std::ranges::lower_bound(hits_, byte, {}, &ByteRange::begin);
  return at == hits_.end() ? 0 : static_cast<int32_t>(at - hits_.begin());
}

int32_t TextSearch::last_before(uint32_t byte) const {
  if (hits_.empty()) return -1;
  const auto at = std::ranges::lower_bound(hits_, byte, {}, &ByteRange::begin);
  return static_cast<int32_t>((at == hits_.begin() ? hits_.end() : at) - hits_.begin()) - 1;
}

}  // namespace reattend::viz
