// TOML as this project reads it: texts of a user, whatever bytes they hold.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>

#include <toml++/toml.h>

namespace reattend {

/// The text of a settings file, which is a page. Throws Error for a longer one, and with the system's reason.
std::string read_settings_text(const std::filesystem::path& path);

/// Text with every byte beyond ASCII written as ?hex; without a byte order mark. Where TOML allows no such letter,
/// toml++ 3.3 runs into a __builtin_unreachable (its issue 295), so none may reach it. Outside of texts and comments it
/// stays an error.
std::string ascii_of(std::string_view text);

/// The tables of a text, of which ascii_of() is read. Throws Error with file and line for what is no TOML.
toml::table parse_toml(std::string_view text, const std::string& where);

/// "FILE:LINE" of something that was read.
std::string place_of(const toml::source_region& source, const std::string& where);

}  // namespace reattend
