// Wraps toml++ so that no letter reaches it that it cannot refuse.
#include "policies/toml_text.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/files.h"

namespace reattend {

std::string read_settings_text(const std::filesystem::path& path) {
  constexpr size_t kMostBytes = 1 << 20;
  const Complaint wanted = {.where = path.string(),
                            .expected = fmt::format("a settings file of at most {} bytes", kMostBytes),
                            .got = {},
                            .remedy = "`reattend tune` writes one"};
  return read_text(path, wanted, kMostBytes);
}

std::string ascii_of(std::string_view text) {
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    byte < 0x80 ? out += c : out += fmt::format("?{:02x}", byte);
  }
  return out;
}

std::string place_of(const toml::source_region& source, const std::string& where) {
  return fmt::format("{}:{}", where, source.begin.line);
}

toml::table parse_toml(std::string_view text, const std::string& where) {
  try {
    return toml::parse(ascii_of(text));
  } catch (const toml::parse_error& error) {
    fail({.where = place_of(error.source(), where),
          .expected = "TOML",
          .got = std::string(error.description()),
          .remedy = {}});
  }
}

}  // namespace reattend
