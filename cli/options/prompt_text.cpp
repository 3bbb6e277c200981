// Cleans a text that was read as a prompt, and counts its characters: byte order marks, stray bytes.
#include "cli/options/prompt_text.h"

#include <algorithm>
#include <string_view>

#include "cli/options/warn.h"
#include "base/utf8.h"

namespace reattend::cli {
namespace {

constexpr std::string_view kUtf8Mark = "\xEF\xBB\xBF";

/// Other encodings by the mark at their beginning; UTF-32's begins with UTF-16's, so it comes first.
void refuse_wide(std::string_view text, const std::string& where) {
  using namespace std::string_view_literals;
  struct Wide {
    std::string_view mark, encoding;
  };
  constexpr Wide kWide[] = {
      {"\xFF\xFE\0\0"sv, "UTF-32"}, {"\0\0\xFE\xFF"sv, "UTF-32"}, {"\xFF\xFE"sv, "UTF-16"}, {"\xFE\xFF"sv, "UTF-16"}};
  for (const Wide& wide : kWide) {
    if (!text.starts_with(wide.mark)) continue;
    fail({where, "text in UTF-8", fmt::format("{} (by its byte order mark)", wide.encoding),
          fmt::format("convert it: iconv -f {} -t UTF-8", wide.encoding)});
  }
}

/// Bytes that are no UTF-8 become tokens as they are; zeros are most likely half of UTF-16.
void warn_of_strange_bytes(std::string_view text, const std::string& where) {
  size_t n_invalid = 0, first_invalid = 0;
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = first_utf8_char(text.substr(at));
    if (c.status != Utf8Status::ok) {
      if (n_invalid == 0) first_invalid = at;
      n_invalid += c.length;
    }
    at += c.length;
  }
  if (n_invalid > 0) {
    warn({where, "text in UTF-8",
          n_invalid == 1 ? fmt::format("1 byte that is none, at offset {}", first_invalid)
                         : fmt::format("{} bytes that are none, the first at offset {}", n_invalid, first_invalid),
          "they become tokens as they are; other encodings: iconv -f LATIN1 -t UTF-8"});
  }
  const auto n_zero = std::count(text.begin(), text.end(), '\0');
  if (n_zero > 0) {
    warn({where, "text without zero bytes", std::to_string(n_zero) + " of them",
          "they become tokens; UTF-16 without a byte order mark: iconv -f UTF-16LE -t UTF-8"});
  }
}

}  // namespace

std::string take_text(std::string bytes, const std::string& where) {
  refuse_wide(bytes, where);
  if (bytes.starts_with(kUtf8Mark)) {
    warn({where, "", "the byte order mark at the text's beginning is left out", ""});
    bytes.erase(0, kUtf8Mark.size());
  }
  warn_of_strange_bytes(bytes, where);
  return bytes;
}

std::string without_first(const std::string& text, int64_t n, const std::string& where) {
  const Utf8Prefix skipped = first_utf8_chars(text, n);
  if (skipped.bytes == text.size() && n > 0) {
    fail({"--skip-chars", fmt::format("less than the {} characters of {}", skipped.characters, where),
          std::to_string(n), ""});
  }
  return text.substr(skipped.bytes);
}

void warn_of_lost_bytes(const Tokenizer& tokenizer, std::span<const int32_t> ids, size_t n_byte) {
  if (tokenizer.knows_every_byte()) return;
  size_t n_kept = 0;
  for (const int32_t id : ids) n_kept += tokenizer.piece(id, true).size();
  if (n_kept < n_byte) {
    warn({"prompt", "bytes that the vocabulary has tokens for",
          fmt::format("{} of {} that it has none for", n_byte - n_kept, n_byte), "they are left out"});
  }
}

}  // namespace reattend::cli
