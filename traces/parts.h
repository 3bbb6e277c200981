// What lies beside a file's name until it is fit for it, and what is left there where its writer was killed.
#pragma once
#include <filesystem>
#include <string>

namespace reattend {

/// FILE.part-PID: where this process writes what shall be FILE.
std::filesystem::path part_of(const std::filesystem::path& path);
/// True for such a name.
bool is_part(const std::filesystem::path& path);
/// What stands beside `path` under such names, in words that end no sentence; empty if nothing does. A recording is
/// there before its first step only, so what a killed one left holds no step.
std::string parts_beside(const std::filesystem::path& path);
/// The same of one part: "a recording or copy that is being made ...".
std::string part_text(const std::filesystem::path& part);

}  // namespace reattend
