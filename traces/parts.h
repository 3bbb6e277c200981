// What lies beside a trace's name (base/files.h says under which) until it is fit for it, and what is left there where
// its writer was killed.
#pragma once
#include <filesystem>
#include <string>

namespace reattend {

/// What stands beside `path` under the names of its parts, in words that end no sentence; empty if nothing does.
std::string parts_beside(const std::filesystem::path& path);
/// What a file of such a name is, to stand behind "it is": "a trace in the making ...", "by its name what is left of a
/// recording ...". That it may be removed is said only where the file itself shows that no step was ever written to it:
/// anybody can give such a name to a file.
std::string part_text(const std::filesystem::path& part);

}  // namespace reattend
