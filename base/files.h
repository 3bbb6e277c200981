// The rule for every file the program makes: nothing that exists is replaced unless the user says so, devices never.
#pragma once
#include <filesystem>

namespace reattend {

/// Throws Error (usage) when `path` exists and `force` is not set, or is no plain file's name. Called before long work, so that minutes of it do
/// not end at a name that was taken.
void refuse_to_replace(const std::filesystem::path& path, bool force);

}  // namespace reattend
