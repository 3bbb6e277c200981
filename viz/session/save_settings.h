// Writes the setting under trial, with what the replay says about it, to a settings file.
#pragma once
#include <filesystem>
#include <string>

#include "viz/session/session.h"

namespace reattend::viz {

/// The settings file as text: the [policy] table, and an [evidence] table of the replay's means where there are any.
std::string settings_file(const Session& session);

/// Throws Error where `path` cannot be written, or exists and `overwrite` is false.
void save_settings(const Session& session, const std::filesystem::path& path, bool overwrite);

}  // namespace reattend::viz
