// The table of Unicode blocks by the script that they hold, in the order of their codes.
#include "viz/session/scripts.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

namespace reattend::viz {
namespace {

struct Block {
  char32_t first, last;
  const char* script;
};

constexpr Block kBlocks[] = {
    {0x0080, 0x024F, "Latin"},
    {0x0250, 0x02FF, "phonetic letters"},
    {0x0300, 0x036F, "combining marks"},
    {0x0370, 0x03FF, "Greek"},
    {0x0400, 0x052F, "Cyrillic"},
    {0x0530, 0x058F, "Armenian"},
    {0x0590, 0x05FF, "Hebrew"},
    {0x0600, 0x06FF, "Arabic"},
    {0x0700, 0x074F, "Syriac"},
    {0x0750, 0x077F, "Arabic"},
    {0x0780, 0x07BF, "Thaana"},
    {0x07C0, 0x07FF, "N'Ko"},
    {0x0870, 0x08FF, "Arabic"},
    {0x0900, 0x097F, "Devanagari"},
    {0x0980, 0x09FF, "Bengali"},
    {0x0A00, 0x0A7F, "Gurmukhi"},
    {0x0A80, 0x0AFF, "Gujarati"},
    {0x0B00, 0x0B7F, "Oriya"},
    {0x0B80, 0x0BFF, "Tamil"},
    {0x0C00, 0x0C7F, "Telugu"},
    {0x0C80, 0x0CFF, "Kannada"},
    {0x0D00, 0x0D7F, "Malayalam"},
    {0x0D80, 0x0DFF, "Sinhala"},
    {0x0E00, 0x0E7F, "Thai"},
    {0x0E80, 0x0EFF, "Lao"},
    {0x0F00, 0x0FFF, "Tibetan"},
    {0x1000, 0x109F, "Myanmar"},
    {0x10A0, 0x10FF, "Georgian"},
    {0x1100, 0x11FF, "Hangul"},
    {0x1200, 0x139F, "Ethiopic"},
    {0x13A0, 0x13FF, "Cherokee"},
    {0x1400, 0x167F, "Canadian syllabics"},
    {0x1780, 0x17FF, "Khmer"},
    {0x1800, 0x18AF, "Mongolian"},
    {0x1E00, 0x1EFF, "Latin"},
    {0x1F00, 0x1FFF, "Greek"},
    {0x2000, 0x206F, "punctuation"},
    {0x20A0, 0x20CF, "currency signs"},
    {0x2100, 0x2BFF, "symbols"},
    {0x2E80, 0x2FDF, "Han"},
    {0x3000, 0x303F, "East Asian punctuation"},
    {0x3040, 0x30FF, "Kana"},
    {0x3130, 0x318F, "Hangul"},
    {0x31F0, 0x31FF, "Kana"},
    {0x3200, 0x33FF, "East Asian symbols"},
    {0x3400, 0x9FFF, "Han"},
    {0xA960, 0xA97F, "Hangul"},
    {0xAC00, 0xD7FF, "Hangul"},
    {0xE000, 0xF8FF, "private use"},
    {0xF900, 0xFAFF, "Han"},
    {0xFB50, 0xFDFF, "Arabic"},
    {0xFE70, 0xFEFE, "Arabic"},
    {0xFF00, 0xFFEF, "East Asian wide forms"},
    {0x1D400, 0x1D7FF, "mathematical letters"},
    {0x1F000, 0x1FBFF, "emoji"},
    {0x20000, 0x3FFFF, "Han"},
};

}  // namespace

std::string script_of(char32_t code) {
  const Block* const block = std::upper_bound(std::begin(kBlocks), std::end(kBlocks), code,
                                              [](char32_t c, const Block& each) { return c < each.first; });
  if (block != std::begin(kBlocks) && code <= std::prev(block)->last) return std::prev(block)->script;
  return fmt::format("U+{:04X}", static_cast<uint32_t>(code));
}

bool joins_characters(char32_t code) {
  return (code >= 0x200B && code <= 0x200F) || (code >= 0x2060 && code <= 0x2064) ||
         (code >= 0xFE00 && code <= 0xFE0F) || code == 0xFEFF || (code >= 0xE0000 && code <= 0xE01EF);
}

}  // namespace reattend::viz
